-- listener.fail_here(sessions, code, message)
-- The database itself fails sessions: no worker may write to them any more, and their credits go back.
-- Locks:  accounts; visible rows and sessions are locked by the caller.
create function listener.fail_here(p_sessions uuid[], p_code text, p_message text)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := listener.clock();
begin
  if cardinality(p_sessions) = 0 then
    return;
  end if;
  update listener.sessions as session
  set
    status = 'failed', worker = null, run_at = null, finished_at = v_now, updated_at = v_now,
    error_code = p_code, error_message = p_message, error_details = listener.error_details(p_code, null, v_now)
  where session.id = any(p_sessions);
  perform listener.refund(p_sessions);
  perform listener.record_events(p_sessions, 'generation_failed');
  perform listener.project(p_sessions);
end
$$;

revoke all on function listener.fail_here(uuid[], text, text) from public, anon, authenticated;
grant execute on function listener.fail_here(uuid[], text, text) to service_role;
