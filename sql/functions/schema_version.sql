-- listener.schema_version() -> integer
-- Grows with whatever a new worker relies on; a worker that was built for a higher one asks for `listener migrate`.
create function listener.schema_version()
returns integer
language sql immutable security invoker
set search_path = ''
as $$
  select 1
$$;

revoke all on function listener.schema_version() from public, anon, authenticated;
grant execute on function listener.schema_version() to service_role;
