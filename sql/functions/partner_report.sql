-- public.partner_report(store, limit) -> jsonb
-- What a store is told: {"webhook": {"url", "active", "active_at", "changed_at", "secrets"}, "deliveries": [{"delivery", "session",
-- "event", "status", "attempt", "created_at", "next_at", "ended_at", "last_status", "last_error"}]}, the newest first. webhook is
-- null without one; secrets counts them and shows none. session is the visible row's id while the session is kept.
-- Units: limit is bounded to 0..1000; next_at is null once it is over.
create function public.partner_report(p_store uuid, p_limit integer default 50)
returns jsonb
language sql stable security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'webhook', (
      select jsonb_build_object(
        'url', hook.url, 'active', hook.active, 'active_at', hook.active_at, 'changed_at', hook.changed_at,
        'secrets', cardinality(hook.secrets)
      )
      from listener.partner_webhooks as hook
      where hook.store = p_store
    ),
    'deliveries', (
      select coalesce(jsonb_agg(to_jsonb(told) order by told.created_at desc, told.delivery), '[]')
      from (
        select
          sent.id as delivery, coalesce(session.row_id, sent.session) as session, sent.event, sent.status, sent.attempt,
          sent.created_at, case when sent.ended_at is null then sent.next_at end as next_at, sent.ended_at, sent.last_status,
          sent.last_error
        from listener.deliveries as sent
        left join listener.sessions as session on sent.session = session.id
        where sent.store = p_store
        order by sent.created_at desc, sent.id
        limit least(greatest(coalesce(p_limit, 50), 0), 1000)
      ) as told
    )
  )
$$;

revoke all on function public.partner_report(uuid, integer) from public, anon, authenticated;
grant execute on function public.partner_report(uuid, integer) to service_role;
