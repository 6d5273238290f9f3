-- listener.prune_partners(limit)
-- Forgets deliveries that ended 30 days ago and the daily use of keys after 400 days.
-- Security definer: nobody else may delete from these tables.
-- Locks:  deliveries, skip locked.
create function listener.prune_partners(p_limit integer)
returns void
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  v_now timestamptz := listener.clock();
begin
  delete from listener.deliveries as delivery
  where delivery.id = any(array(
    select old.id
    from listener.deliveries as old
    where old.ended_at < v_now - interval '30 days'
    order by old.ended_at
    limit p_limit
    for update skip locked
  ));
  delete from listener.api_key_days as used where used.day < (v_now at time zone 'utc')::date - 400;
end
$$;

revoke all on function listener.prune_partners(integer) from public, anon, authenticated;
grant execute on function listener.prune_partners(integer) to service_role;
