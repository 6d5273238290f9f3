-- listener.drop_webhook(url) -> boolean
-- Sends this URL nothing any more; false when nothing was sent there. Its argument bears no p_: people type its name.
create function listener.drop_webhook(url text)
returns boolean
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  delete from listener.webhooks as hook where hook.url = drop_webhook.url;
  return found;
end
$$;

revoke all on function listener.drop_webhook(text) from public, anon, authenticated, service_role;
