-- public.claim_deliveries(worker, limit) -> (delivery, attempt, store, url, secrets, payload)
-- Takes due deliveries for 60 seconds: nobody else gets them meanwhile, and whoever is lost with them loses them. At most 8 of one
-- store at a time, so that a partner who does not answer holds nobody else up.
-- Locks:  an advisory lock of all claims of deliveries, then the deliveries.
create function public.claim_deliveries(p_worker uuid, p_limit integer)
returns table (delivery uuid, attempt integer, store uuid, url text, secrets text[], payload jsonb)
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_now timestamptz;
begin
  perform pg_advisory_xact_lock(hashtext('listener.deliveries'), 0);
  v_now := listener.clock();
  perform listener.retire_deliveries(v_now);
  return query
  with due as (
    select waiting.id, hook.url, hook.secrets
    from listener.partner_webhooks as hook
    cross join lateral (
      select count(*) as n
      from listener.deliveries as sent
      where sent.store = hook.store and sent.status = 'sending'
    ) as under_way
    cross join lateral (
      select one.id, one.next_at
      from listener.deliveries as one
      where one.store = hook.store and one.status = 'waiting' and one.next_at <= v_now
      order by one.next_at
      limit greatest(8 - under_way.n, 0)
    ) as waiting
    where hook.active
    order by waiting.next_at
    limit least(greatest(p_limit, 0), 100)
  ),
  taken as (
    update listener.deliveries as one
    set
      status = 'sending', attempt = one.attempt + 1, worker = p_worker, claimed_at = v_now, next_at = v_now + interval '60 s'
    from due
    where one.id = due.id
    returning one.id, one.attempt, one.session, one.event, one.store
  )
  select taken.id, taken.attempt, taken.store, due.url, due.secrets, listener.delivery_payload(taken.session, taken.event)
  from taken
  inner join due on taken.id = due.id;
end
$$;

revoke all on function public.claim_deliveries(uuid, integer) from public, anon, authenticated;
grant execute on function public.claim_deliveries(uuid, integer) to service_role;
