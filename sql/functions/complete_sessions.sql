-- public.complete_sessions(worker, items) -> setof attempt_outcome
-- Settles attempts as completed; items are [{"session", "attempt", "result", "refund", "device_s", "cost_usd"}]. The credits are
-- kept, but for `refund`: what the undelivered part of a pack cost, at most the charge; optional. device_s and cost_usd are what the
-- attempt came to, where that is known.
-- Locks:  visible rows, then sessions; for a refund, accounts ascending.
create function public.complete_sessions(p_worker uuid, p_items jsonb)
returns setof listener.attempt_outcome
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_outcome listener.attempt_outcome;
  v_outcomes listener.attempt_outcome[] := listener.complete_held(p_worker, p_items);
begin
  if v_outcomes is null then
    v_outcomes := listener.fence(p_worker, p_items, '{completed}');
    perform listener.complete_applied(listener.applied(v_outcomes), p_items);
  end if;
  foreach v_outcome in array v_outcomes loop
    return next v_outcome;
  end loop;
end
$$;

revoke all on function public.complete_sessions(uuid, jsonb) from public, anon, authenticated;
grant execute on function public.complete_sessions(uuid, jsonb) to service_role;
