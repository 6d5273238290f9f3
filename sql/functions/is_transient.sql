-- listener.is_transient(sqlstate) -> boolean
-- Tells errors of the moment (locks, resources, shutdown, read-only) from errors that lie in a visible table itself.
create function listener.is_transient(p_sqlstate text)
returns boolean
language sql immutable security invoker
set search_path = ''
as $$
  select left(p_sqlstate, 2) in ('08', '25', '40', '53', '57', '58', 'XX') or p_sqlstate = '55P03'
$$;

revoke all on function listener.is_transient(text) from public, anon, authenticated;
grant execute on function listener.is_transient(text) to service_role;
