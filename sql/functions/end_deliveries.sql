-- listener.end_deliveries(items, now) -> uuid[]
-- Writes what came of deliveries that are being sent, if the attempt is their last, and returns those: see settle_deliveries.
-- Locks:  deliveries, which the caller has locked.
create function listener.end_deliveries(p_items jsonb, p_now timestamptz)
returns uuid[]
language sql volatile security invoker
set search_path = ''
as $$
  with told as (
    select distinct on (item.delivery)
      item.*,
      greatest(
        listener.delivery_delay(one.failures + 1),
        make_interval(secs => least(greatest(item.retry_after_s, 0), 86400))
      ) as delay,
      item.outcome in ('delivered', 'refused', 'gone') or (item.outcome = 'retry' and one.failures >= 9) as is_over
    from jsonb_to_recordset(p_items) as item (
      delivery uuid, attempt integer, outcome text, status integer, error text, retry_after_s double precision
    )
    inner join listener.deliveries as one on item.delivery = one.id and item.attempt = one.attempt and one.status = 'sending'
    order by item.delivery
  ),
  settled as (
    update listener.deliveries as one
    set
      status = case when told.outcome = 'delivered' then 'delivered' when told.is_over then 'dead' else 'waiting' end,
      ended_at = case when told.is_over then p_now end,
      failures = one.failures + (told.outcome not in ('delivered', 'released'))::integer,
      next_at = case told.outcome when 'retry' then p_now + told.delay else p_now end,
      worker = null,
      last_status = told.status,
      last_error = left(told.error, 500)
    from told
    where one.id = told.delivery
    returning one.id
  )
  select coalesce(array_agg(settled.id), '{}') from settled
$$;

revoke all on function listener.end_deliveries(jsonb, timestamptz) from public, anon, authenticated;
grant execute on function listener.end_deliveries(jsonb, timestamptz) to service_role;
