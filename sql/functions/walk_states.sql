-- listener.walk_states(table, row_id, states, role) -> text
-- Takes a session of a probe row through states, each shown by listener.project as the role; returns what went wrong, or null.
create function listener.walk_states(p_table listener.session_tables, p_row_id uuid, p_states text[], p_role name)
returns text
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_session uuid;
  v_state text;
  v_misfit text;
  v_missed uuid[];
  v_version numeric;
  v_last_version numeric;
  v_caller text := current_setting('role');
begin
  v_session := listener.probe_session(p_table, p_row_id);
  foreach v_state in array p_states loop
    perform listener.pose_probe(v_session, v_state);
    perform set_config('client_min_messages', 'error', true), set_config('role', p_role, true);
    v_missed := listener.project(array[v_session]);
    perform set_config('role', v_caller, true);
    set constraints all immediate;
    v_misfit := coalesce(
      (select known.broken_reason from listener.session_tables as known where known.id = p_table.id),
      case when cardinality(v_missed) > 0 then 'the update reaches no row: a trigger or a policy swallows it' end
    );
    execute format(
      'select coalesce($1, case when to_jsonb(visible) ->> %1$L is distinct from state.status '
      'then ''something changes it to '' || coalesce(to_jsonb(visible) ->> %1$L, ''null'') end), visible.%2$I '
      'from %3$s as visible left join listener.visible_states as state on state.session = $2 where visible.%4$I = $3',
      p_table.columns ->> 'status', p_table.columns ->> 'version', p_table.relation, p_table.id_column
    ) into v_misfit, v_version using v_misfit, v_session, p_row_id;
    if v_misfit is null and not v_version > v_last_version then
      v_misfit := 'its version does not grow';
    end if;
    if v_misfit is not null then
      return format('%s (as %s): %s', v_state, p_role, v_misfit);
    end if;
    v_last_version := v_version;
  end loop;
  return null;
exception when others then
  return format('%s (as %s): %s', v_state, p_role, sqlerrm);
end
$$;

revoke all on function listener.walk_states(listener.session_tables, uuid, text[], name)
from public, anon, authenticated, service_role;
