-- public.api_key_usage(store, days) -> (day, key, name, requests, refused)
-- How a store's keys were used on the last `days` UTC days, today among them, the newest first.
create function public.api_key_usage(p_store uuid, p_days integer default 30)
returns table (day date, key uuid, name text, requests bigint, refused bigint)
language sql stable security invoker
set search_path = ''
as $$
  select used.day, used.key, used.name, used.requests, used.refused
  from listener.key_usage as used
  where
    used.store = p_store
    and used.day > ((select listener.clock()) at time zone 'utc')::date - least(greatest(coalesce(p_days, 30), 1), 400)
  order by used.day desc, used.name, used.key
$$;

revoke all on function public.api_key_usage(uuid, integer) from public, anon, authenticated;
grant execute on function public.api_key_usage(uuid, integer) to service_role;
