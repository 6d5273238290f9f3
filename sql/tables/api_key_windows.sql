-- listener.api_key_windows
-- Accepted requests of a key in pieces of 5 seconds: what its rate limit counts. Older pieces go with the key's next request.
create table listener.api_key_windows (
  key uuid not null references listener.api_keys (key) on delete cascade,
  starts_at timestamptz not null,
  requests integer not null,
  primary key (key, starts_at)
) with (fillfactor = 50);

alter table listener.api_key_windows enable row level security;
revoke all on table listener.api_key_windows from public, anon, authenticated, service_role;
grant select, insert, update, delete on table listener.api_key_windows to service_role;
