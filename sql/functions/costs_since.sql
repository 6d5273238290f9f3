-- listener.costs_since(day) -> (day, kind, owner, sessions, device_s, cost_usd)
-- What sessions that ended on this UTC day or later came to, attempts that failed too; also of those that were removed since.
-- One range of the index (kind, finished_at) for each kind.
-- Units: device_s is seconds of devices of our own, cost_usd US dollars; null where nobody knew.
create function listener.costs_since(p_day date)
returns table (day date, kind text, owner uuid, sessions bigint, device_s double precision, cost_usd double precision)
language sql stable security invoker
set search_path = ''
as $$
  select
    spent.day, spent.kind, spent.owner, sum(spent.sessions)::bigint, sum(spent.device_s), sum(spent.cost_usd)
  from (
    select
      (ended.finished_at at time zone 'utc')::date as day, policy.kind, ended.owner, 1::bigint as sessions, ended.device_s,
      ended.cost_usd
    from listener.kinds as policy
    cross join lateral (
      select session.finished_at, session.owner, session.device_s, session.cost_usd
      from listener.sessions as session
      where session.kind = policy.kind and session.finished_at >= p_day::timestamp at time zone 'utc'
    ) as ended
    union all
    select pruned.day, pruned.kind, pruned.owner, pruned.sessions, pruned.device_s, pruned.cost_usd
    from listener.pruned_costs as pruned
    where pruned.day >= p_day
  ) as spent
  group by spent.day, spent.kind, spent.owner
$$;

revoke all on function listener.costs_since(date) from public, anon, authenticated;
grant execute on function listener.costs_since(date) to service_role;
