-- listener.drop_artifacts(sessions, objects) -> (bucket, path, is_fading)
-- Deletes the artifacts of these sessions that are due and lie in these objects, and answers all their objects; is_fading: its
-- row showed it until now.
-- Security definer: nobody else may delete from this table.
-- Locks:  none; the caller has locked visible rows and sessions.
create function listener.drop_artifacts(p_sessions uuid[], p_objects jsonb)
returns table (session uuid, bucket text, path text, is_fading boolean)
language sql volatile security definer
set search_path = ''
as $$
  with due as (
    select candidate.session, candidate.attempt, candidate.name, candidate.reason
    from listener.due_artifacts as candidate
    where
      candidate.session = any(p_sessions) and candidate.due_at <= (select listener.clock()) and not listener.is_named(candidate.bucket, candidate.path)
      and (candidate.bucket, candidate.path) in (
        select given.bucket, given.path from jsonb_to_recordset(p_objects) as given (bucket text, path text)
      )
  ),
  dropped as (
    delete from listener.artifacts as artifact
    using due
    where artifact.session = due.session and artifact.attempt = due.attempt and artifact.name = due.name
    returning artifact.session, artifact.bucket, artifact.path, artifact.thumbnail_path, due.reason = 'kept_long_enough' as is_fading
  )

  select dropped.session, dropped.bucket, dropped.path, dropped.is_fading from dropped
  union all
  select dropped.session, dropped.bucket, dropped.thumbnail_path, dropped.is_fading from dropped
  where dropped.thumbnail_path is not null
$$;

revoke all on function listener.drop_artifacts(uuid[], jsonb) from public, anon, authenticated;
grant execute on function listener.drop_artifacts(uuid[], jsonb) to service_role;
