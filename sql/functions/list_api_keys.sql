-- public.list_api_keys(store) -> (key, name, prefix, per_minute, created_at, last_used_at, revoked_at, requests_today, refused_today)
-- A store's keys, the newest first; never their hashes. The days are UTC.
create function public.list_api_keys(p_store uuid)
returns table (
  key uuid, name text, prefix text, per_minute integer, created_at timestamptz, last_used_at timestamptz,
  revoked_at timestamptz, requests_today bigint, refused_today bigint
)
language sql stable security invoker
set search_path = ''
as $$
  select
    given.key, given.name, given.prefix, given.per_minute, given.created_at, given.last_used_at, given.revoked_at,
    coalesce(used.requests, 0), coalesce(used.refused, 0)
  from listener.api_keys as given
  left join listener.api_key_days as used
    on given.key = used.key and used.day = ((select listener.clock()) at time zone 'utc')::date
  where given.store = p_store
  order by given.created_at desc, given.key
$$;

revoke all on function public.list_api_keys(uuid) from public, anon, authenticated;
grant execute on function public.list_api_keys(uuid) to service_role;
