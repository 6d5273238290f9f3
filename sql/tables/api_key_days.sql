-- listener.api_key_days
-- How often a key was used on a day (UTC): accepted requests, and those beyond its limit. Kept for 400 days.
create table listener.api_key_days (
  key uuid not null references listener.api_keys (key) on delete cascade,
  day date not null,
  requests bigint not null default 0,
  refused bigint not null default 0,
  primary key (key, day)
) with (fillfactor = 50);

create index api_key_days_by_day on listener.api_key_days (day);

alter table listener.api_key_days enable row level security;
revoke all on table listener.api_key_days from public, anon, authenticated, service_role;
grant select, insert, update on table listener.api_key_days to service_role;
