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
  v_held uuid[];
  v_gone uuid[];
  v_is_broken boolean;
begin
  for v_table in
    select
      registry.id, registry.broken_at is not null as is_broken,
      array_agg(held.id) as sessions, array_agg(held.row_id) as row_ids
    from listener.sessions as held
    inner join listener.session_tables as registry on held.table_id = registry.id
    where held.id = any(p_sessions)
    group by registry.id
    order by registry.id
  loop
    v_is_broken := v_table.is_broken;
    if not v_is_broken then
      begin
        select visible.held, visible.gone into v_held, v_gone
        from listener.hold_visible(v_table.id, v_table.row_ids, p_skip_locked) as visible;
      exception when others then
        if listener.is_transient(sqlstate) then
          raise;
        end if;
        perform listener.mark_broken(v_table.id, sqlstate || ' ' || sqlerrm);
        v_is_broken := true;
      end;
    end if;
    if v_is_broken or cardinality(v_held) = cardinality(v_table.row_ids) then
      return query select given.id, false from unnest(v_table.sessions) as given (id);
    else
      return query
      select pair.session_id, coalesce(pair.row_id = any(v_gone), false)
      from unnest(v_table.sessions, v_table.row_ids) as pair (session_id, row_id)
      where pair.row_id = any(v_held) or pair.row_id = any(v_gone);
    end if;
  end loop;
end
$$;

revoke all on function listener.lock_rows(uuid[], boolean) from public, anon, authenticated;
grant execute on function listener.lock_rows(uuid[], boolean) to service_role;
