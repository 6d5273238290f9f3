-- What postgres may not do in the schemas of the services, although he is a member of their owners: everything that only
-- an owner may, except policies and dropping triggers. Refused in PostgreSQL's own words.
-- Source: supautils.policy_grants and supautils.drop_trigger_grants of a hosted project.
create or replace function extensions.keep_to_hosted_rights()
returns event_trigger
language plpgsql
set search_path = ''
as $$
declare
  v_object record;
begin
  -- Service roles and superusers do as they like; who is asked is whoever runs the statement.
  if current_user <> 'postgres'
    or (select role.rolsuper from pg_catalog.pg_roles as role where role.rolname = current_user)
  then
    return;
  end if;
  if tg_event = 'sql_drop' then
    select dropped.object_type, dropped.object_identity into v_object
    from pg_catalog.pg_event_trigger_dropped_objects() as dropped
    where dropped.original and dropped.schema_name in ('auth', 'storage', 'realtime', 'supabase_functions', 'net')
      and dropped.object_type not in ('policy', 'trigger')
    limit 1;
  else
    select command.object_type, command.object_identity into v_object
    from pg_catalog.pg_event_trigger_ddl_commands() as command
    where command.schema_name in ('auth', 'storage', 'realtime', 'supabase_functions', 'net')
      and command.object_type not in ('policy', 'trigger')
    limit 1;
  end if;
  if not found then
    return;
  end if;
  if tg_tag like 'CREATE %' and tg_tag <> 'CREATE INDEX' then
    raise exception using errcode = '42501', message = format('permission denied for schema %s',
      split_part(v_object.object_identity, '.', 1));
  end if;
  raise exception using errcode = '42501', message = format('must be owner of %s %s',
    v_object.object_type, split_part(v_object.object_identity, '.', 2));
end
$$;

drop event trigger if exists keep_to_hosted_rights;
create event trigger keep_to_hosted_rights on ddl_command_end execute function extensions.keep_to_hosted_rights();
drop event trigger if exists keep_to_hosted_rights_on_drop;
create event trigger keep_to_hosted_rights_on_drop on sql_drop execute function extensions.keep_to_hosted_rights();
