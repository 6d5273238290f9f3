-- listener.switch_triggers(relation, triggers, is_on)
-- Switches triggers of a table off and on again. For the dry run alone, which rolls it back.
-- Locks:  the table, which the caller holds.
create function listener.switch_triggers(p_relation regclass, p_triggers text[], p_is_on boolean)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_trigger text;
begin
  foreach v_trigger in array p_triggers loop
    execute format(
      'alter table %s %s trigger %I', p_relation, case when p_is_on then 'enable' else 'disable' end, v_trigger
    );
  end loop;
end
$$;

revoke all on function listener.switch_triggers(regclass, text[], boolean) from public, anon, authenticated, service_role;
