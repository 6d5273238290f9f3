-- public.report_progress(worker, items) -> setof attempt_outcome
-- Shows how far attempts are: items are [{"session", "attempt", "done", "total", "note"}]. Written as given; the worker throttles.
-- Locks:  visible rows, then sessions.
create function public.report_progress(p_worker uuid, p_items jsonb)
returns setof listener.attempt_outcome
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_outcomes listener.attempt_outcome[] := listener.fence(p_worker, p_items, '{}');
  v_applied uuid[] := listener.applied(v_outcomes);
begin
  update listener.sessions as session
  set
    progress = case when item.total > 0 then least(greatest(floor(100 * item.done / item.total), 0), 100) else 0 end,
    note = left(nullif(item.note, ''), 500),
    updated_at = listener.clock()
  from jsonb_to_recordset(p_items) as item (
    session uuid, attempt integer, done double precision, total double precision, note text
  )
  where session.id = any(v_applied) and session.id = item.session and session.attempt = item.attempt;
  perform listener.project(v_applied);
  return query select item.session, item.attempt, item.outcome, item.code, item.cancel_requested
  from unnest(v_outcomes) as item;
end
$$;

revoke all on function public.report_progress(uuid, jsonb) from public, anon, authenticated;
grant execute on function public.report_progress(uuid, jsonb) to service_role;
