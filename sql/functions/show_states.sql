-- listener.show_states(table, states) -> uuid[]
-- Writes states onto the rows of one visible table and returns the ids of the rows it reached: none when the table is broken,
-- or turns out to be. An error of the moment is raised as it is.
-- Locks:  visible rows, which the caller has locked before.
create function listener.show_states(p_table_id integer, p_states listener.visible_state[])
returns uuid[]
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  if (select registry.broken_at is not null from listener.session_tables as registry where registry.id = p_table_id) then
    return '{}'::uuid[];
  end if;
  return listener.write_visible(p_table_id, p_states);
exception when others then
  if listener.is_transient(sqlstate) then
    raise;
  end if;
  perform listener.mark_broken(p_table_id, sqlstate || ' ' || sqlerrm);
  return '{}'::uuid[];
end
$$;

revoke all on function listener.show_states(integer, listener.visible_state[]) from public, anon, authenticated;
grant execute on function listener.show_states(integer, listener.visible_state[]) to service_role;
