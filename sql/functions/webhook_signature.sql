-- listener.webhook_signature(webhook, message) -> text
-- The header webhook-signature of a message: `v1,` and the base64 of its HMAC-SHA256, without pgcrypto.
create function listener.webhook_signature(p_webhook listener.webhooks, p_message text)
returns text
language sql immutable security invoker
set search_path = ''
as $$
  select 'v1,' || encode(
    sha256(p_webhook.outer_key || sha256(p_webhook.inner_key || convert_to(p_message, 'UTF8'))), 'base64'
  )
$$;

revoke all on function listener.webhook_signature(listener.webhooks, text) from public, anon, authenticated, service_role;
