-- public.release_sessions(worker, items) -> setof attempt_outcome
-- Gives attempts back to the queue without counting a failure (drain); items are [{"session", "attempt"}], with what they
-- came to, see add_costs.
-- Locks:  visible rows, then sessions, then accounts ascending.
create function public.release_sessions(p_worker uuid, p_items jsonb)
returns setof listener.attempt_outcome
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_outcomes listener.attempt_outcome[] := listener.fence(p_worker, p_items, '{queued,cancelled}');
begin
  perform listener.add_costs(listener.applied(v_outcomes), p_items);
  perform listener.requeue(listener.applied(v_outcomes), false);
  return query select item.session, item.attempt, item.outcome, item.code, item.cancel_requested
  from unnest(v_outcomes) as item;
end
$$;

revoke all on function public.release_sessions(uuid, jsonb) from public, anon, authenticated;
grant execute on function public.release_sessions(uuid, jsonb) to service_role;
