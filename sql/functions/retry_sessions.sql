-- public.retry_sessions(worker, items) -> setof attempt_outcome
-- Ends attempts that failed in a way that may pass, and queues their sessions again after delay_s; the failure counts. At
-- max_attempts the session fails and is refunded. Items: [{"session", "attempt", "code", "message", "details", "delay_s"}],
-- with what they came to, see add_costs.
-- Units: delay_s is seconds, 0..86400.
-- Locks:  visible rows, then sessions, then accounts ascending.
create function public.retry_sessions(p_worker uuid, p_items jsonb)
returns setof listener.attempt_outcome
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_outcomes listener.attempt_outcome[] := listener.fence(p_worker, p_items, '{queued,delayed,failed,cancelled}');
  v_applied uuid[] := listener.applied(v_outcomes);
  v_now timestamptz := listener.clock();
begin
  perform listener.add_costs(v_applied, p_items);
  update listener.sessions as session
  set
    error_code = item.code, error_message = item.message,
    error_details = listener.error_details(item.code, item.details, v_now),
    run_at = v_now + make_interval(secs => item.delay_s)
  from listener.read_failures(p_items) as item
  where session.id = any(v_applied) and session.id = item.session and session.attempt = item.attempt;
  perform listener.requeue(v_applied, true);
  return query select item.session, item.attempt, item.outcome, item.code, item.cancel_requested
  from unnest(v_outcomes) as item;
end
$$;

revoke all on function public.retry_sessions(uuid, jsonb) from public, anon, authenticated;
grant execute on function public.retry_sessions(uuid, jsonb) to service_role;
