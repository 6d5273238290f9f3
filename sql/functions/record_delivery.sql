-- listener.record_delivery() trigger, after update, for each row
-- Writes the delivery of a session that finished, in the transaction that settled it, if its store has an active webhook.
-- Locks:  shared, against set_partner_webhook: a session that finishes after a webhook became active is told, however they overlap.
create function listener.record_delivery()
returns trigger
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_now timestamptz;
begin
  perform pg_advisory_xact_lock_shared(hashtext('listener.partner_webhooks'), hashtext(new.owner::text));
  v_now := listener.clock();
  insert into listener.deliveries (session, store, event, next_at, created_at)
  select new.id, hook.store, 'session.' || new.status, v_now, v_now
  from listener.partner_webhooks as hook
  where hook.store = new.owner and hook.active;
  return null;
end
$$;

revoke all on function listener.record_delivery() from public, anon, authenticated;
grant execute on function listener.record_delivery() to service_role;
