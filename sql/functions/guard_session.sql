-- listener.guard_session() trigger, before update, for each row
-- A terminal state is never left, an attempt never lowered, and what a session is never changes.
-- Raises: SL003 transition_refused.
create function listener.guard_session()
returns trigger
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  raise exception 'transition_refused' using
    errcode = 'SL003',
    detail = format('%s: %s, attempt %s -> %s, attempt %s', old.id, old.status, old.attempt, new.status, new.attempt);
end
$$;

revoke all on function listener.guard_session() from public, anon, authenticated;
