-- listener.cancel_here(sessions) -> integer
-- The database itself cancels open sessions: no worker may write to them any more. Returns the credits given back.
-- Locks:  accounts; visible rows and sessions are locked by the caller.
create function listener.cancel_here(p_sessions uuid[])
returns integer
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := listener.clock();
  v_refunded integer;
begin
  update listener.sessions as session
  set
    status = 'cancelled', worker = null, run_at = null, note = null, finished_at = v_now, updated_at = v_now,
    cancel_requested_at = coalesce(session.cancel_requested_at, v_now)
  where session.id = any(p_sessions);
  v_refunded := listener.refund(p_sessions);
  perform listener.project(p_sessions);
  return v_refunded;
end
$$;

revoke all on function listener.cancel_here(uuid[]) from public, anon, authenticated, service_role;
