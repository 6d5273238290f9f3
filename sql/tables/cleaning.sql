-- listener.cleaning
-- One row: whose turn it is to remove what nobody needs, and the object that the walk through the storage has come to. Without a
-- holder nobody is at it, and workers wait until `until`; with one, the others wait until then.
create table listener.cleaning (
  id boolean primary key default true,
  holder uuid,
  until timestamptz not null,
  bucket text not null default '',
  path text not null default '',
  constraint cleaning_is_one_row check (id)
);

alter table listener.cleaning enable row level security;
revoke all on table listener.cleaning from public, anon, authenticated, service_role;
grant select, insert, update on table listener.cleaning to service_role;
