-- listener.probe_walks() -> (states, role, is_copy)
-- The ways of a session that a dry run tries. First with bare rows and without the app's triggers: what a table demands of state
-- must hold for any row. Then with a copy of an existing row, if there is one, and the app's triggers. Each as both roles that
-- write states: the workers', and the owner of the definer functions by which users cancel and delete.
create function listener.probe_walks()
returns table (states text[], role name, is_copy boolean)
language sql stable security invoker
set search_path = ''
as $$
  select string_to_array(way.states, ' '), role.name, variant.is_copy
  from (values (false), (true)) as variant (is_copy)
  cross join (
    values
      ('queued started running completed'),
      ('queued started running delayed queued started failed'),
      ('queued started running cancelled'),
      ('queued cancelled'),
      ('queued failed')
  ) as way (states)
  cross join (
    select 'service_role'::name
    union
    select pg_get_userbyid(routine.proowner) from pg_catalog.pg_proc as routine
    where routine.pronamespace = 'listener'::regnamespace and routine.proname = 'withdraw_sessions'
  ) as role (name)
  order by variant.is_copy
$$;

revoke all on function listener.probe_walks() from public, anon, authenticated, service_role;
