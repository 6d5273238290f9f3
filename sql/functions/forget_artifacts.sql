-- public.forget_artifacts(objects) -> (bucket, path)
-- Takes from rows what expired_artifacts and orphaned_objects named, [{"bucket", "path"}], and answers the objects that may be
-- removed through the Storage API now: those that no row names any more, and thumbnails of what went. All conditions are asked
-- again; what orphaned_elsewhere named comes with the changed_at that it was given. Rows come first: when the removal fails, an
-- object is left that is found again as an orphan, never a row without its object.
-- Locks:  visible rows, then sessions, skip locked.
create function public.forget_artifacts(p_objects jsonb)
returns table (bucket text, path text)
language plpgsql volatile security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
  v_locked uuid[];
  v_present uuid[];
  v_held uuid[];
  v_dropped record;
begin
  select array_agg(locked.session), array_agg(locked.session) filter (where not locked.is_gone)
  into v_locked, v_present
  from listener.lock_rows(array(
    select recorded.session
    from jsonb_to_recordset(p_objects) as given (bucket text, path text)
    inner join listener.artifacts as recorded on given.path = recorded.path and given.bucket = recorded.bucket
  ), true) as locked;
  v_held := array(
    select session.id from listener.sessions as session
    where session.id = any(v_locked)
    order by session.id
    for no key update skip locked
  );
  select
    array_agg(dropped.bucket) as buckets, array_agg(dropped.path) as paths,
    array_agg(distinct dropped.session) filter (where dropped.is_fading and dropped.session = any(v_present)) as fading
  into v_dropped
  from listener.drop_artifacts(v_held, p_objects) as dropped;
  perform listener.project(v_dropped.fading);

  return query
  select dropped.bucket, dropped.path
  from unnest(v_dropped.buckets, v_dropped.paths) as dropped (bucket, path)
  where
    not exists (select from listener.artifacts as kept where kept.path = dropped.path and kept.bucket = dropped.bucket)
    and not exists (select from listener.artifacts as kept where kept.thumbnail_path = dropped.path and kept.bucket = dropped.bucket)
    and not listener.is_named(dropped.bucket, dropped.path)
  union
  select unnamed.bucket, unnamed.path
  from (
    select array_agg(given.bucket) as buckets, array_agg(given.path) as paths
    from jsonb_to_recordset(p_objects) as given (bucket text, path text)
  ) as asked
  cross join lateral listener.unnamed_among(asked.buckets, asked.paths) as unnamed
  union
  select unnamed.bucket, unnamed.path
  from (
    select
      array_agg(given.bucket) as buckets, array_agg(given.path) as paths,
      array_agg(null::bigint) as sizes, array_agg(given.changed_at) as changes
    from jsonb_to_recordset(p_objects) as given (bucket text, path text, changed_at timestamptz)
    where given.changed_at is not null
  ) as listed
  cross join lateral listener.listed_orphans(listed.buckets, listed.paths, listed.sizes, listed.changes) as unnamed;
end
$$;

revoke all on function public.forget_artifacts(jsonb) from public, anon, authenticated;
grant execute on function public.forget_artifacts(jsonb) to service_role;
