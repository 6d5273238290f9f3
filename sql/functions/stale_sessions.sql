-- listener.stale_sessions(table) -> uuid[]
-- The sessions of a table whose visible rows do not show their state, and those that run, whose progress may have moved.
create function listener.stale_sessions(p_table listener.session_tables)
returns uuid[]
language plpgsql stable security invoker
set search_path = ''
as $$
declare
  v_stale uuid[];
begin
  execute format(
    'select array(select session.id from listener.sessions as session '
    'inner join %1$s as visible on visible.%2$I = session.row_id where session.table_id = $1 and ('
    'session.status = ''processing'' or visible.%3$I is distinct from '
    'case session.status when ''delayed'' then ''queued'' else session.status end))',
    p_table.relation, p_table.id_column, p_table.columns ->> 'status'
  ) into v_stale using p_table.id;
  return v_stale;
end
$$;

revoke all on function listener.stale_sessions(listener.session_tables) from public, anon, authenticated, service_role;
