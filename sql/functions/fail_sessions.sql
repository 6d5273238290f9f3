-- public.fail_sessions(worker, items) -> setof attempt_outcome
-- Settles attempts as failed for good and gives the credits back; items are [{"session", "attempt", "code", "message",
-- "details"}], with what they came to, see add_costs.
-- Locks:  visible rows, then sessions, then accounts ascending.
create function public.fail_sessions(p_worker uuid, p_items jsonb)
returns setof listener.attempt_outcome
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_outcomes listener.attempt_outcome[] := listener.fence(p_worker, p_items, '{failed}');
  v_applied uuid[] := listener.applied(v_outcomes);
  v_now timestamptz := listener.clock();
begin
  perform listener.add_costs(v_applied, p_items);
  update listener.sessions as session
  set
    status = 'failed', failures = session.failures + 1, note = null, finished_at = v_now, updated_at = v_now,
    error_code = item.code, error_message = item.message,
    error_details = listener.error_details(item.code, item.details, v_now)
  from listener.read_failures(p_items) as item
  where session.id = any(v_applied) and session.id = item.session and session.attempt = item.attempt;
  perform listener.refund(v_applied);
  perform listener.record_events(v_applied, 'generation_failed');
  perform listener.project(v_applied);
  return query select item.session, item.attempt, item.outcome, item.code, item.cancel_requested
  from unnest(v_outcomes) as item;
end
$$;

revoke all on function public.fail_sessions(uuid, jsonb) from public, anon, authenticated;
grant execute on function public.fail_sessions(uuid, jsonb) to service_role;
