-- listener.rebind_tables() trigger, after the registry changed
-- Writes the functions that touch visible rows anew.
create function listener.rebind_tables()
returns trigger
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  perform listener.bind_tables();
  return null;
end
$$;

revoke all on function listener.rebind_tables() from public, anon, authenticated, service_role;
