-- public.settle_deliveries(items) -> (delivery, attempt, outcome, status, next_at)
-- What came of deliveries; items are [{"delivery", "attempt", "outcome", "status", "error", "retry_after_s"}], outcome being
-- delivered; retry: tried again later, ten times in all; refused: never again; gone: nor anything else to that address;
-- released: not sent, due at once. Answers applied | already | refused: an attempt that is not the delivery's last says nothing.
-- Units: status is the HTTP status of the partner's answer; retry_after_s is seconds, what the partner asked, up to a day.
-- Locks:  deliveries ascending, then the webhooks of those that are gone.
-- Raises: 22023 for an outcome that does not exist.
create function public.settle_deliveries(p_items jsonb)
returns table (delivery uuid, attempt integer, outcome text, status text, next_at timestamptz)
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_now timestamptz;
  v_settled uuid[];
begin
  if exists (
    select from jsonb_to_recordset(p_items) as item (outcome text)
    where item.outcome is null or item.outcome not in ('delivered', 'retry', 'refused', 'gone', 'released')
  ) then
    raise exception 'there is no such outcome of a delivery' using errcode = '22023';
  end if;
  perform from listener.deliveries as one
  where one.id in (select item.delivery from jsonb_to_recordset(p_items) as item (delivery uuid))
  order by one.id
  for no key update;
  v_now := listener.clock();
  v_settled := listener.end_deliveries(p_items, v_now);
  update listener.partner_webhooks as hook
  set active = false, changed_at = v_now
  from listener.deliveries as one
  inner join jsonb_to_recordset(p_items) as item (delivery uuid, outcome text) on one.id = item.delivery
  where one.id = any(v_settled) and item.outcome = 'gone' and hook.store = one.store and hook.changed_at <= one.claimed_at;
  return query
  select
    item.delivery, item.attempt,
    case when item.delivery = any(v_settled) then 'applied' when one.attempt = item.attempt then 'already' else 'refused' end,
    one.status, one.next_at
  from jsonb_to_recordset(p_items) as item (delivery uuid, attempt integer)
  left join listener.deliveries as one on item.delivery = one.id;
end
$$;

revoke all on function public.settle_deliveries(jsonb) from public, anon, authenticated;
grant execute on function public.settle_deliveries(jsonb) to service_role;
