-- listener.dry_run(table)
-- Walks probe rows of a registered table through every state, by the projection itself, and rolls all of it back; see probe_walks.
-- Locks:  the table, which the caller holds.
-- Raises: 55000 state_refused, with the state and the database's own words.
create function listener.dry_run(p_table listener.session_tables)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_walk record;
  v_probe uuid;
  v_misfit text;
  v_triggers text[] := array(
    select given.tgname from pg_catalog.pg_trigger as given
    where given.tgrelid = p_table.relation and not given.tgisinternal and given.tgenabled in ('O', 'A')
  );
begin
  begin
    update listener.session_tables as known set broken_at = null, broken_reason = null where known.id = p_table.id;
    perform listener.loosen_table(p_table);
    for v_walk in select walk.states, walk.role, walk.is_copy from listener.probe_walks() as walk loop
      v_probe := gen_random_uuid();
      perform listener.switch_triggers(p_table.relation, v_triggers, false);
      v_misfit := listener.insert_probe(p_table, v_probe, v_walk.is_copy);
      exit when v_misfit is not null;
      perform listener.switch_triggers(p_table.relation, v_triggers, v_walk.is_copy);
      v_misfit := listener.walk_states(p_table, v_probe, v_walk.states, v_walk.role);
      exit when v_misfit is not null;
    end loop;
    raise exception 'the dry run is over' using errcode = 'ZZ000';
  exception when sqlstate 'ZZ000' then
    null;
  end;
  if v_misfit is not null then
    perform listener.refuse_table(p_table.relation, array[row(
      'state_refused', v_misfit,
      'Let its constraints, types and triggers accept every state, or map the column elsewhere: columns => ''{"progress": "..."}''.'
    )]::listener.misfit[]);
  end if;
end
$$;

revoke all on function listener.dry_run(listener.session_tables) from public, anon, authenticated, service_role;
