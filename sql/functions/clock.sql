-- listener.clock() -> timestamptz
-- The only time of the state machine: the database's. A superuser's own connection may set listener.fake_now (tests);
-- in any other session the setting is ignored, since every role may set it.
create function listener.clock()
returns timestamptz
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  if coalesce(current_setting('listener.fake_now', true), '') = '' then
    return clock_timestamp();
  elsif exists (select from pg_catalog.pg_roles as role where role.rolname = session_user and role.rolsuper) then
    return current_setting('listener.fake_now', true)::timestamptz;
  end if;
  return clock_timestamp();
end
$$;

revoke all on function listener.clock() from public, anon, authenticated;
grant execute on function listener.clock() to service_role;
