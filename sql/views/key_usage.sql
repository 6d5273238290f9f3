-- listener.key_usage
-- How often each API key was used on each UTC day of the last 400: accepted requests, and those beyond its limit. Days without any
-- are left out.
create view listener.key_usage
with (security_invoker = true) as
select
  used.day,
  given.store,
  given.key,
  given.name,
  used.requests,
  used.refused
from listener.api_key_days as used
inner join listener.api_keys as given on used.key = given.key;

revoke all on table listener.key_usage from public, anon, authenticated, service_role;
grant select on table listener.key_usage to service_role;
