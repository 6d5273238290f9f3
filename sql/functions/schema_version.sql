-- listener.schema_version() -> integer
-- Grows when a worker must know more than the version before; workers compare it with what they were built for.
create function listener.schema_version()
returns integer
language sql immutable security invoker
set search_path = ''
as $$
  select 1
$$;

revoke all on function listener.schema_version() from public, anon, authenticated;
grant execute on function listener.schema_version() to service_role;
