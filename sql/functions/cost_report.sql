-- public.cost_report(days, by_owner) -> (day, kind, owner, sessions, device_s, cost_usd)
-- What the last `days` UTC days came to, today among them, the newest first; owner is null unless asked for.
-- Units: device_s is seconds of devices of our own, cost_usd US dollars; null where nobody knew.
create function public.cost_report(p_days integer default 7, p_by_owner boolean default false)
returns table (day date, kind text, owner uuid, sessions bigint, device_s double precision, cost_usd double precision)
language sql stable security invoker
set search_path = ''
as $$
  select spent.day, spent.kind, paying.owner, sum(spent.sessions)::bigint, sum(spent.device_s), sum(spent.cost_usd)
  from listener.costs_since(
    ((select listener.clock()) at time zone 'utc')::date - least(greatest(coalesce(p_days, 7), 1), 3660) + 1
  ) as spent
  cross join lateral (select case when p_by_owner then spent.owner end as owner) as paying
  group by spent.day, spent.kind, paying.owner
  order by spent.day desc, spent.kind, sum(spent.cost_usd) desc nulls last, paying.owner
$$;

revoke all on function public.cost_report(integer, boolean) from public, anon, authenticated;
grant execute on function public.cost_report(integer, boolean) to service_role;
