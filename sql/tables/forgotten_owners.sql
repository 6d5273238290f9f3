-- listener.forgotten_owners
-- Users who were deleted: what lies in a folder that bears such an id may go, if it was written before or soon after; who was
-- only forgotten may come back (listed_orphans).
create table listener.forgotten_owners (
  owner uuid primary key,
  forgotten_at timestamptz not null
);

alter table listener.forgotten_owners enable row level security;
revoke all on table listener.forgotten_owners from public, anon, authenticated, service_role;
grant select, insert, update on table listener.forgotten_owners to service_role;
