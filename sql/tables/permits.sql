-- listener.permits
-- Requests to a provider that workers were allowed within the last minute; older rows go with the next permit of the kind.
create table listener.permits (
  id bigint generated always as identity primary key,
  kind text not null,
  worker uuid not null,
  granted integer not null,
  granted_at timestamptz not null,
  constraint permits_granted_is_positive check (granted > 0)
);

create index permits_by_kind on listener.permits (kind, granted_at);

alter table listener.permits enable row level security;
revoke all on table listener.permits from public, anon, authenticated, service_role;
grant select, insert, delete on table listener.permits to service_role;
