-- listener.requeue(sessions, is_failure)
-- Gives running sessions back to the queue with their tags: until run_at as delayed, else at once. A failure counts, and the
-- last one that max_attempts allows fails the session; one whose owner asked to cancel is cancelled instead.
-- What ends here is refunded. The caller has set run_at and the error, if any.
-- Locks:  accounts; visible rows and sessions are locked by the caller.
create function listener.requeue(p_sessions uuid[], p_is_failure boolean)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := listener.clock();
  v_failure integer := p_is_failure::integer;
begin
  if cardinality(p_sessions) = 0 then
    return;
  end if;
  update listener.sessions as session
  set
    status = next.status,
    failures = session.failures + v_failure,
    run_at = case when next.status = 'delayed' then session.run_at end,
    finished_at = case when next.status in ('failed', 'cancelled') then v_now end,
    progress = case when next.status in ('queued', 'delayed') then 0 else session.progress end,
    note = null,
    updated_at = v_now
  from (
    select
      held.id,
      case
        when held.cancel_requested_at is not null then 'cancelled'
        when p_is_failure and held.failures + 1 >= held.max_attempts then 'failed'
        when held.run_at > v_now then 'delayed'
        else 'queued'
      end as status
    from listener.sessions as held
    where held.id = any(p_sessions)
  ) as next
  where session.id = next.id;
  perform listener.refund(p_sessions);
  perform listener.record_events(p_sessions, 'generation_failed');
  perform listener.project(p_sessions);
end
$$;

revoke all on function listener.requeue(uuid[], boolean) from public, anon, authenticated;
grant execute on function listener.requeue(uuid[], boolean) to service_role;
