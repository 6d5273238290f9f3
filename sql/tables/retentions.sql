-- listener.retentions
-- How long the results in a bucket are kept, where that is not for their kind to say in days: clips weigh much, and their addresses
-- are good for hours. Whichever ends first, this or the kind's keep_days, decides. The sessions and their rows stay, without them.
-- Units: keep_hours counts from the end of the session.
create table listener.retentions (
  bucket text primary key,
  keep_hours double precision not null,
  constraint retentions_keep_hours_is_positive check (keep_hours > 0 and keep_hours <= 876000)
);

alter table listener.retentions enable row level security;
revoke all on table listener.retentions from public, anon, authenticated, service_role;
grant select, insert, update, delete on table listener.retentions to service_role;
