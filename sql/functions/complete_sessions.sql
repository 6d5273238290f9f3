-- public.complete_sessions(worker, items) -> setof attempt_outcome
-- Settles attempts as completed; items are [{"session", "attempt", "result", "refund"}]. The credits are kept, but for
-- `refund`: what the undelivered part of a pack cost, at most the charge; optional.
-- Locks:  visible rows, then sessions; for a refund, accounts ascending.
create function public.complete_sessions(p_worker uuid, p_items jsonb)
returns setof listener.attempt_outcome
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_outcomes listener.attempt_outcome[] := listener.fence(p_worker, p_items, '{completed}');
  v_applied uuid[] := listener.applied(v_outcomes);
  v_now timestamptz := listener.clock();
begin
  update listener.sessions as session
  set
    status = 'completed', progress = 100, note = null, finished_at = v_now, updated_at = v_now,
    result = case when jsonb_typeof(item.result) = 'object' then item.result end,
    error_code = null, error_message = null, error_details = null,
    refund_due = nullif(least(greatest(item.refund, 0), session.cost), 0)
  from jsonb_to_recordset(p_items) as item (session uuid, attempt integer, result jsonb, refund integer)
  where session.id = any(v_applied) and session.id = item.session and session.attempt = item.attempt;
  if jsonb_path_exists(p_items, '$[*].refund ? (@ > 0)') then
    perform listener.refund(v_applied);
  end if;
  perform listener.project(v_applied);
  perform listener.record_events(v_applied, 'generation_completed');
  return query select item.session, item.attempt, item.outcome, item.code, item.cancel_requested
  from unnest(v_outcomes) as item;
end
$$;

revoke all on function public.complete_sessions(uuid, jsonb) from public, anon, authenticated;
grant execute on function public.complete_sessions(uuid, jsonb) to service_role;
