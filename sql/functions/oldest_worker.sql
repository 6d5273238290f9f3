-- listener.oldest_worker() -> integer
-- The oldest workers that this schema still serves, by the schema version that they were built for. Follows schema_version
-- only when a call of theirs no longer works: until then old and new workers run together. Who is older ends with status 57.
create function listener.oldest_worker()
returns integer
language sql immutable security invoker
set search_path = ''
as $$
  select 1
$$;

revoke all on function listener.oldest_worker() from public, anon, authenticated;
grant execute on function listener.oldest_worker() to service_role;
