-- listener.retire_deliveries(now)
-- Before deliveries are claimed: takes those back whose worker did not settle them in time, and ends for good what has failed
-- ten times or has no active webhook any more.
-- Locks:  deliveries, which the caller lets nobody else claim; those that are being settled are skipped.
create function listener.retire_deliveries(p_now timestamptz)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  update listener.deliveries as delivery
  set
    status = case when delivery.failures >= 9 then 'dead' else 'waiting' end,
    ended_at = case when delivery.failures >= 9 then p_now end,
    failures = delivery.failures + 1, worker = null, last_status = null, last_error = 'The worker was lost while sending.'
  where delivery.id = any(array(
    select late.id
    from listener.deliveries as late
    where late.status = 'sending' and late.next_at <= p_now
    for no key update skip locked
  ));

  update listener.deliveries as delivery
  set status = 'dead', ended_at = p_now, last_status = null, last_error = 'The webhook is not active.'
  from listener.partner_webhooks as hook
  where delivery.store = hook.store and not hook.active and delivery.status = 'waiting';
end
$$;

revoke all on function listener.retire_deliveries(timestamptz) from public, anon, authenticated;
grant execute on function listener.retire_deliveries(timestamptz) to service_role;
