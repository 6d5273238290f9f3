-- listener.daily_costs
-- What the sessions that ended on a UTC day came to, by kind and owner: see costs_since, which reads a part of it faster.
-- Units: device_s is seconds of devices of our own, cost_usd US dollars; null where nobody knew.
create view listener.daily_costs
with (security_invoker = true) as
select
  spent.day,
  spent.kind,
  spent.owner,
  spent.sessions,
  spent.device_s,
  spent.cost_usd
from listener.costs_since('-infinity') as spent;

revoke all on table listener.daily_costs from public, anon, authenticated, service_role;
grant select on table listener.daily_costs to service_role;
