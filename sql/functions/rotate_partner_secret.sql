-- public.rotate_partner_secret(store) -> text
-- Gives a store's webhook a new secret and answers it. The one before it signs beside it until the next rotation, so that the partner
-- can change over without missing anything; called twice, a secret that was betrayed signs no more. Null without a webhook.
create function public.rotate_partner_secret(p_store uuid)
returns text
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_secret text := listener.new_secret();
begin
  update listener.partner_webhooks as hook
  set secrets = array[v_secret, hook.secrets[1]], changed_at = listener.clock()
  where hook.store = p_store;
  return case when found then v_secret end;
end
$$;

revoke all on function public.rotate_partner_secret(uuid) from public, anon, authenticated;
grant execute on function public.rotate_partner_secret(uuid) to service_role;
