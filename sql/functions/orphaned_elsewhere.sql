-- public.orphaned_elsewhere(objects) -> (bucket, path, size_bytes, reason)
-- Of objects that lie in a store of their own, as a worker has listed them, [{"bucket", "path", "size_bytes", "changed_at"}], those
-- that no row names, and those that were recorded but never delivered. Changes nothing, so it is the dry run as well;
-- forget_artifacts comes next. What lies in Supabase Storage is found by orphaned_objects.
create function public.orphaned_elsewhere(p_objects jsonb)
returns table (bucket text, path text, size_bytes bigint, reason text)
language sql stable security invoker
set search_path = ''
as $$
  with listed as (
    select
      array_agg(given.bucket) as buckets, array_agg(given.path) as paths,
      array_agg(given.size_bytes) as sizes, array_agg(given.changed_at) as changes
    from jsonb_to_recordset(p_objects) as given (bucket text, path text, size_bytes bigint, changed_at timestamptz)
  )

  select unnamed.bucket, unnamed.path, unnamed.size_bytes, unnamed.reason
  from listed
  cross join lateral listener.listed_orphans(listed.buckets, listed.paths, listed.sizes, listed.changes) as unnamed
  union
  select undelivered.bucket, undelivered.path, undelivered.size_bytes, undelivered.reason
  from listed
  cross join lateral listener.never_delivered(listed.buckets, listed.paths) as undelivered
$$;

revoke all on function public.orphaned_elsewhere(jsonb) from public, anon, authenticated;
grant execute on function public.orphaned_elsewhere(jsonb) to service_role;
