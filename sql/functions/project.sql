-- listener.project(sessions) -> uuid[]
-- Writes the state of sessions onto their visible rows, version + 1 each, and returns the sessions whose row was not reached:
-- it is gone, or its table is broken. An error that lies in the table marks it broken; it never stops other tables.
-- Locks:  visible rows, which the caller has locked before.
create function listener.project(p_sessions uuid[])
returns uuid[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_table record;
  v_reached uuid[];
  v_missed uuid[] := '{}'::uuid[];
begin
  for v_table in
    select
      state.table_id, array_agg(state.session) as sessions, array_agg(state.row_id) as row_ids,
      array_agg(
        row(
          state.row_id, state.status, state.progress, state.message, state.error_code, state.error_message,
          state.error_details, state.result, state.started_at, state.finished_at, state.updated_at
        )::listener.visible_state
      ) as states
    from listener.visible_states as state
    where state.session = any(p_sessions)
    group by state.table_id
    order by state.table_id
  loop
    v_reached := listener.show_states(v_table.table_id, v_table.states);
    if cardinality(v_reached) < cardinality(v_table.row_ids) then
      v_missed := v_missed || array(
        select pair.session
        from unnest(v_table.sessions, v_table.row_ids) as pair (session, row_id)
        where pair.row_id <> all(v_reached)
      );
    end if;
  end loop;
  return v_missed;
end
$$;

revoke all on function listener.project(uuid[]) from public, anon, authenticated;
grant execute on function listener.project(uuid[]) to service_role;
