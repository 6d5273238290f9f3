-- public.cancel_sessions(worker, items) -> setof attempt_outcome
-- Settles running attempts as cancelled, with the refund that the kind's policy says; items are [{"session", "attempt",
-- "result", "refund"}], both optional: result is shown beside the artifacts that are kept, refund is what the undelivered part cost.
-- With what they came to, see add_costs.
-- Locks:  visible rows, then sessions, then accounts ascending.
create function public.cancel_sessions(p_worker uuid, p_items jsonb)
returns setof listener.attempt_outcome
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_outcomes listener.attempt_outcome[] := listener.fence(p_worker, p_items, '{cancelled}');
  v_applied uuid[] := listener.applied(v_outcomes);
  v_now timestamptz := listener.clock();
begin
  perform listener.add_costs(v_applied, p_items);
  update listener.sessions as session
  set
    status = 'cancelled', note = null, finished_at = v_now, updated_at = v_now,
    result = case when jsonb_typeof(item.result) = 'object' then item.result end,
    refund_due = listener.cancel_share(session.id, item.refund)
  from jsonb_to_recordset(p_items) as item (session uuid, attempt integer, result jsonb, refund integer)
  where session.id = any(v_applied) and session.id = item.session and session.attempt = item.attempt;
  perform listener.refund(v_applied);
  perform listener.project(v_applied);
  return query select item.session, item.attempt, item.outcome, item.code, item.cancel_requested
  from unnest(v_outcomes) as item;
end
$$;

revoke all on function public.cancel_sessions(uuid, jsonb) from public, anon, authenticated;
grant execute on function public.cancel_sessions(uuid, jsonb) to service_role;
