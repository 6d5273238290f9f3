-- listener.rescue_sessions(workers, limit) -> uuid[]
-- Takes the sessions of lost workers away from them: queued again while attempts are left, else failed and refunded.
-- Locks:  visible rows, then sessions, skip locked; then accounts.
create function listener.rescue_sessions(p_workers uuid[], p_limit integer)
returns uuid[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_sessions uuid[];
  v_now timestamptz := listener.clock();
begin
  v_sessions := listener.hold_sessions(array(
    select session.id from listener.sessions as session
    where session.status = 'processing' and session.worker = any(p_workers)
    order by session.started_at
    limit p_limit
  ));
  v_sessions := array(
    select session.id from listener.sessions as session
    where session.id = any(v_sessions) and session.worker = any(p_workers)
  );
  update listener.sessions as session
  set
    run_at = null, error_code = 'worker_lost', error_message = 'The generation was interrupted on our side.',
    error_details = listener.error_details('worker_lost', null, v_now)
  where session.id = any(v_sessions);
  perform listener.requeue(v_sessions, true);
  update listener.sessions as session set worker = null where session.id = any(v_sessions);
  return v_sessions;
end
$$;

revoke all on function listener.rescue_sessions(uuid[], integer) from public, anon, authenticated;
grant execute on function listener.rescue_sessions(uuid[], integer) to service_role;
