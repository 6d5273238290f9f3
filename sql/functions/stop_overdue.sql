-- listener.stop_overdue(limit) -> uuid[]
-- Fails and refunds sessions that are past twice their time limit and its grace although their worker lives: waiting in the
-- worker's line for a device does not count, for as long again as the limit at most.
-- Locks:  visible rows, then sessions, skip locked; then accounts.
create function listener.stop_overdue(p_limit integer)
returns uuid[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_sessions uuid[];
  v_now timestamptz := listener.clock();
begin
  v_sessions := listener.hold_sessions(array(
    select session.id
    from listener.sessions as session
    inner join listener.kinds as kind on session.kind = kind.kind
    where
      session.status = 'processing'
      and session.started_at + make_interval(secs => 2 * session.time_limit_s + kind.grace_s) <= v_now
    order by session.started_at
    limit p_limit
  ));
  v_sessions := array(
    select session.id from listener.sessions as session
    where session.id = any(v_sessions) and session.started_at + make_interval(secs => 2 * session.time_limit_s) <= v_now
  );
  perform listener.fail_here(v_sessions, 'time_limit', 'The generation took too long and was stopped.');
  return v_sessions;
end
$$;

revoke all on function listener.stop_overdue(integer) from public, anon, authenticated;
grant execute on function listener.stop_overdue(integer) to service_role;
