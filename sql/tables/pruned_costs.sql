-- listener.pruned_costs
-- What sessions had cost that are kept no longer, summed by the UTC day of their end: prune_finished adds here what it removes.
-- Units: device_s is seconds of devices of our own, cost_usd US dollars; null where nobody knew.
create table listener.pruned_costs (
  day date not null,
  kind text not null,
  owner uuid not null,
  sessions bigint not null,
  device_s double precision,
  cost_usd double precision,
  primary key (day, kind, owner)
);

alter table listener.pruned_costs enable row level security;
revoke all on table listener.pruned_costs from public, anon, authenticated, service_role;
grant select on table listener.pruned_costs to service_role;
