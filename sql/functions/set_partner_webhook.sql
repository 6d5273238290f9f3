-- public.set_partner_webhook(store, url, secrets, active) -> jsonb
-- Tells a store's address of every session that finishes from now on; called again it changes the entry, and secrets left out
-- stay. Answers {"store", "url", "active", "secret"}: the secret when one had to be made, else null.
-- Locks:  against sessions of the store that finish now: see record_delivery.
-- Raises: 23503 for a store that is not there; 23514 for a URL or secrets that are out of bounds.
create function public.set_partner_webhook(
  p_store uuid, p_url text, p_secrets text[] default null, p_active boolean default true
)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_secrets text[];
  v_secret text;
  v_now timestamptz;
begin
  perform pg_advisory_xact_lock(hashtext('listener.partner_webhooks'), hashtext(p_store::text));
  v_now := listener.clock();
  select hook.secrets into v_secrets from listener.partner_webhooks as hook where hook.store = p_store;
  if p_secrets is null and v_secrets is null then
    v_secret := listener.new_secret();
  end if;
  insert into listener.partner_webhooks as hook (store, url, secrets, active, active_at, changed_at)
  values (p_store, p_url, coalesce(p_secrets, v_secrets, array[v_secret]), p_active, v_now, v_now)
  on conflict (store) do update set
    url = excluded.url, secrets = excluded.secrets, active = excluded.active, changed_at = excluded.changed_at,
    active_at = case when hook.active then hook.active_at else excluded.active_at end;
  return jsonb_build_object('store', p_store, 'url', p_url, 'active', p_active, 'secret', v_secret);
end
$$;

revoke all on function public.set_partner_webhook(uuid, text, text[], boolean) from public, anon, authenticated;
grant execute on function public.set_partner_webhook(uuid, text, text[], boolean) to service_role;
