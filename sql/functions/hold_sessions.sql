-- listener.hold_sessions(sessions) -> uuid[]
-- Locks what can be locked without waiting, visible rows first, and returns the sessions that are still processing.
-- The caller must ask its own condition again: a session may have changed hands before it was locked.
-- Locks:  visible rows, then sessions; skip locked.
create function listener.hold_sessions(p_sessions uuid[])
returns uuid[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_sessions uuid[];
begin
  if cardinality(p_sessions) = 0 then
    return '{}'::uuid[];
  end if;
  v_sessions := listener.hold_rows(p_sessions, true);
  return array(
    select session.id
    from listener.sessions as session
    where session.id = any(v_sessions) and session.status = 'processing'
    order by session.id
    for no key update skip locked
  );
end
$$;

revoke all on function listener.hold_sessions(uuid[]) from public, anon, authenticated;
grant execute on function listener.hold_sessions(uuid[]) to service_role;
