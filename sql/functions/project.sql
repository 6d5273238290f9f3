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
  v_all uuid[] := '{}'::uuid[];
begin
  for v_table in
    select
      registry.id, registry.relation, registry.id_column, registry.columns ->> 'version' as version_column,
      (
        select string_agg(format('%I = state.%I', pair.value, pair.key), ', ' order by pair.key)
        from jsonb_each_text(registry.columns) as pair
        where pair.key <> 'version'
      ) as assignments
    from listener.session_tables as registry
    where
      registry.broken_at is null
      and registry.id in (select held.table_id from listener.sessions as held where held.id = any(p_sessions))
    order by registry.id
  loop
    begin
      execute format(
        'with shown as (update %1$s as visible set %2$s, %3$I = visible.%3$I + 1 '
        'from listener.visible_states as state '
        'where state.session = any($1) and state.table_id = $2 and visible.%4$I = state.row_id '
        'returning state.session) select array_agg(shown.session) from shown',
        v_table.relation, v_table.assignments, v_table.version_column, v_table.id_column
      ) into v_reached using p_sessions, v_table.id;
      v_all := v_all || v_reached;
    exception when others then
      if listener.is_transient(sqlstate) then
        raise;
      end if;
      perform listener.mark_broken(v_table.id, sqlstate || ' ' || sqlerrm);
    end;
  end loop;
  return array(
    select given.session from unnest(p_sessions) as given (session) where not given.session = any(v_all)
  );
end
$$;

revoke all on function listener.project(uuid[]) from public, anon, authenticated;
grant execute on function listener.project(uuid[]) to service_role;
