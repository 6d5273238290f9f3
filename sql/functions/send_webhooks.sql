-- listener.send_webhooks(relation) -> integer
-- Says to each worker of listener.webhooks that sessions of this table arrived: by pg_net, which sends after the commit and only
-- once. Signed as Standard Webhooks has it; the body names the table and carries no row. Once a transaction, table and URL.
-- Never fails: a wake-up that was not sent is a warning, and the sweep finds the session. Returns how many were queued.
-- Dynamic, since pg_net may be absent when this is created and when it is checked.
create function listener.send_webhooks(p_relation oid)
returns integer
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_already text := coalesce(current_setting('listener.webhooks_sent', true), '');
  v_table record;
  v_hook listener.webhooks;
  v_id text := 'msg_' || gen_random_uuid();
  v_time text := floor(extract(epoch from listener.clock()))::text;
  v_body jsonb;
  v_post regproc := to_regproc('net.http_post');
  v_sent integer := 0;
begin
  if strpos(v_already, format('<%s>', p_relation)) > 0 or not exists (select from listener.webhooks) then
    return 0;
  end if;
  select registry.kind, class.relname, namespace.nspname into v_table
  from listener.session_tables as registry
  inner join pg_catalog.pg_class as class on registry.relation = class.oid
  inner join pg_catalog.pg_namespace as namespace on class.relnamespace = namespace.oid
  where registry.relation = p_relation;
  v_body := jsonb_build_object(
    'type', 'INSERT', 'schema', v_table.nspname, 'table', v_table.relname, 'record', null, 'old_record', null
  );
  for v_hook in
    select * from listener.webhooks as hook where hook.kinds is null or v_table.kind = any(hook.kinds) order by hook.url
  loop
    begin
      if v_post is null then
        raise exception 'pg_net is not installed';
      end if;
      execute format('select %s(url := $1, body := $2, headers := $3, timeout_milliseconds := $4)', v_post) using
        v_hook.url, v_body,
        jsonb_build_object(
          'Content-Type', 'application/json',
          'webhook-id', v_id,
          'webhook-timestamp', v_time,
          'webhook-signature', listener.webhook_signature(v_hook, format('%s.%s.%s', v_id, v_time, v_body))
        ),
        v_hook.timeout_ms;
      v_sent := v_sent + 1;
    exception when others then
      raise warning 'listener: no webhook was sent to %: % (%)', v_hook.url, sqlerrm, sqlstate;
    end;
  end loop;
  perform set_config('listener.webhooks_sent', format('%s<%s>', v_already, p_relation), true);
  return v_sent;
end
$$;

revoke all on function listener.send_webhooks(oid) from public, anon, authenticated, service_role;
