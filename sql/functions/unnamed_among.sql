-- listener.unnamed_among(buckets, paths) -> (bucket, path, size_bytes, reason)
-- Those of these objects of Supabase Storage that no row names: see listed_orphans.
create function listener.unnamed_among(p_buckets text[], p_paths text[])
returns table (bucket text, path text, size_bytes bigint, reason text)
language sql stable security invoker
set search_path = ''
as $$
  select unnamed.bucket, unnamed.path, unnamed.size_bytes, unnamed.reason
  from (
    select
      array_agg(object.bucket_id) as buckets, array_agg(object.name) as paths,
      array_agg(case when object.metadata ->> 'size' ~ '^[0-9]{1,15}$' then (object.metadata ->> 'size')::bigint end) as sizes,
      array_agg(greatest(object.created_at, object.updated_at)) as changes
    from unnest(p_buckets, p_paths) as given (bucket, path)
    inner join storage.objects as object on given.bucket = object.bucket_id and given.path = object.name
  ) as present
  cross join lateral listener.listed_orphans(present.buckets, present.paths, present.sizes, present.changes) as unnamed
$$;

revoke all on function listener.unnamed_among(text[], text[]) from public, anon, authenticated;
grant execute on function listener.unnamed_among(text[], text[]) to service_role;
