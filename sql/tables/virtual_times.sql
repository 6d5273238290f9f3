-- listener.virtual_times
-- The virtual time of each kind, which the claim advances (start-time fair queueing), and when sessions of it were last claimed:
-- a worker of several kinds takes them in turn. Apart from listener.kinds, because every claim writes it: an update of the policy
-- would have all its constraints read from the catalog each time.
create table listener.virtual_times (
  kind text primary key references listener.kinds (kind) on delete cascade,
  virtual_time double precision not null default 0,
  claimed_at timestamptz
) with (fillfactor = 50);

alter table listener.virtual_times enable row level security;
revoke all on table listener.virtual_times from public, anon, authenticated, service_role;
grant select, update on table listener.virtual_times to service_role;
