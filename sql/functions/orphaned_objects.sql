-- public.orphaned_objects(bucket, path, limit) -> jsonb
-- Looks at up to `limit` objects of our buckets, those that come after the given one, and answers {"objects": [{"bucket", "path",
-- "size_bytes", "reason"}], "examined", "next": {"bucket", "path"} or null at the end}: what no row names, and what was recorded
-- but never delivered. Changes nothing, so it is the dry run as well; forget_artifacts comes next.
create function public.orphaned_objects(p_bucket text default '', p_path text default '', p_limit integer default 1000)
returns jsonb
language plpgsql stable security invoker
set search_path = ''
as $$
declare
  v_limit integer := least(greatest(coalesce(p_limit, 1000), 1), 1000);
  v_buckets text[];
  v_paths text[];
  v_count integer;
begin
  select array_agg(page.bucket_id), array_agg(page.name), count(*) into v_buckets, v_paths, v_count
  from (
    select object.bucket_id, object.name
    from storage.objects as object
    where (object.bucket_id, object.name) > (p_bucket, p_path)
    order by object.bucket_id, object.name
    limit v_limit
  ) as page;
  return jsonb_build_object(
    'objects', (
      select coalesce(jsonb_agg(to_jsonb(candidate) order by candidate.bucket, candidate.path), '[]')
      from (
        select unnamed.bucket, unnamed.path, unnamed.size_bytes, unnamed.reason
        from listener.unnamed_among(v_buckets, v_paths) as unnamed
        union
        select undelivered.bucket, undelivered.path, undelivered.size_bytes, undelivered.reason
        from listener.never_delivered(v_buckets, v_paths) as undelivered
      ) as candidate
    ),
    'examined', v_count,
    'next', case when v_count = v_limit then jsonb_build_object('bucket', v_buckets[v_count], 'path', v_paths[v_count]) end
  );
end
$$;

revoke all on function public.orphaned_objects(text, text, integer) from public, anon, authenticated;
grant execute on function public.orphaned_objects(text, text, integer) to service_role;
