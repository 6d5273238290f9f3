-- listener.never_delivered(buckets, paths) -> (bucket, path, size_bytes, reason)
-- Those of these objects, thumbnails too, that were recorded but never delivered.
-- Units: size_bytes is null for a thumbnail.
create function listener.never_delivered(p_buckets text[], p_paths text[])
returns table (bucket text, path text, size_bytes bigint, reason text)
language sql stable security invoker
set search_path = ''
as $$
  select given.bucket, given.path, due.size_bytes, due.reason
  from unnest(p_buckets, p_paths) as given (bucket, path)
  cross join lateral (
    select recorded.size_bytes, recorded.reason
    from listener.due_artifacts as recorded
    where recorded.bucket = given.bucket and recorded.path = given.path and recorded.reason = 'not_delivered'
    union all
    select null, recorded.reason
    from listener.due_artifacts as recorded
    where recorded.bucket = given.bucket and recorded.thumbnail_path = given.path and recorded.reason = 'not_delivered'
  ) as due
$$;

revoke all on function listener.never_delivered(text[], text[]) from public, anon, authenticated;
grant execute on function listener.never_delivered(text[], text[]) to service_role;
