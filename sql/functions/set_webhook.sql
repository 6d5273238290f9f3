-- listener.set_webhook(url, secret, kinds, timeout_ms) -> text
-- Sends a wake-up to this URL whenever sessions arrive (of these kinds, or of all), from the next transaction on. Called again for
-- the URL it changes the entry. Answers the secret, which the worker needs as LISTENER_WEBHOOK_SECRETS; made here when none is given.
-- Its arguments bear no p_: people type their names.
-- Raises: 55000 when pg_net is not installed; 22023 when the secret is not whsec_ and the base64 of 24 to 64 bytes; 23514 for the URL.
create function listener.set_webhook(
  url text, secret text default null, kinds text[] default null, timeout_ms integer default 2000
)
returns text
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_key bytea;
begin
  if to_regprocedure('net.http_post(text,jsonb,jsonb,jsonb,integer)') is null then
    raise exception using
      errcode = '55000', message = 'pg_net is not installed',
      hint = 'create extension pg_net; or switch it on under Database, Extensions.';
  end if;
  if set_webhook.secret is null then
    set_webhook.secret := listener.new_secret();
  end if;
  begin
    v_key := decode(substr(set_webhook.secret, 7), 'base64');
  exception when data_exception then
    v_key := null;
  end;
  if left(set_webhook.secret, 6) <> 'whsec_' or octet_length(v_key) not between 24 and 64 or v_key is null then
    raise exception using
      errcode = '22023', message = 'a webhook secret is whsec_ and the base64 of 24 to 64 random bytes',
      hint = 'Leave it out to have one made.';
  end if;
  insert into listener.webhooks as hook (url, kinds, inner_key, outer_key, timeout_ms)
  values (
    set_webhook.url, set_webhook.kinds, listener.hmac_key(v_key, 54), listener.hmac_key(v_key, 92), set_webhook.timeout_ms
  )
  on conflict on constraint webhooks_pkey do update
    set kinds = excluded.kinds, inner_key = excluded.inner_key, outer_key = excluded.outer_key, timeout_ms = excluded.timeout_ms;
  return set_webhook.secret;
end
$$;

revoke all on function listener.set_webhook(text, text, text[], integer) from public, anon, authenticated, service_role;
