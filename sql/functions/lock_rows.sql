-- listener.lock_rows(sessions, skip_locked) -> (session, is_gone)
-- Locks the visible rows of sessions before the sessions themselves are locked. With skip_locked, sessions whose row
-- somebody else holds are left out of the answer; otherwise it waits. A broken table has nothing to lock.
-- Locks:  visible rows, by table and id; for no key update, as the projection's update needs.
create function listener.lock_rows(p_sessions uuid[], p_skip_locked boolean)
returns table (session uuid, is_gone boolean)
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_table record;
  v_locked uuid[];
  v_present uuid[];
begin
  for v_table in
    select
      registry.id, registry.relation, registry.id_column, registry.broken_at,
      array_agg(held.id) as sessions, array_agg(held.row_id) as row_ids
    from listener.sessions as held
    inner join listener.session_tables as registry on held.table_id = registry.id
    where held.id = any(p_sessions)
    group by registry.id
    order by registry.id
  loop
    v_locked := '{}';
    v_present := null;
    if v_table.broken_at is null then
      begin
        execute format(
          'select array(select visible.%1$I from %2$s as visible where visible.%1$I = any($1) order by visible.%1$I '
          'for no key update%3$s)',
          v_table.id_column, v_table.relation, case when p_skip_locked then ' skip locked' else '' end
        ) into v_locked using v_table.row_ids;
        v_present := v_locked;
        if p_skip_locked and cardinality(v_locked) < cardinality(v_table.row_ids) then
          execute format(
            'select array(select visible.%1$I from %2$s as visible where visible.%1$I = any($1))',
            v_table.id_column, v_table.relation
          ) into v_present using v_table.row_ids;
        end if;
      exception when others then
        if listener.is_transient(sqlstate) then
          raise;
        end if;
        perform listener.mark_broken(v_table.id, sqlstate || ' ' || sqlerrm);
        v_present := null;
      end;
    end if;
    return query
    select pair.session_id, coalesce(not pair.row_id = any(v_present), false)
    from unnest(v_table.sessions, v_table.row_ids) as pair (session_id, row_id)
    where v_present is null or pair.row_id = any(v_locked) or not pair.row_id = any(v_present);
  end loop;
end
$$;

revoke all on function listener.lock_rows(uuid[], boolean) from public, anon, authenticated;
grant execute on function listener.lock_rows(uuid[], boolean) to service_role;
