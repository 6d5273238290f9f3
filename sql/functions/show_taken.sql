-- listener.show_taken(due, now) -> uuid[]
-- Shows sessions as processing on those of their visible rows that are there and free, and returns those sessions.
-- An error that lies in a table marks it broken.
-- Locks:  visible rows by table, skip locked; never waits.
create function listener.show_taken(p_due listener.due_session[], p_now timestamptz)
returns uuid[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_table record;
  v_shown uuid[];
  v_all uuid[] := '{}'::uuid[];
begin
  for v_table in
    select due.table_id, array_agg(due.session) as sessions, array_agg(due.row_id) as row_ids
    from unnest(p_due) as due
    group by due.table_id
    order by due.table_id
  loop
    begin
      v_shown := listener.take_visible(v_table.table_id, v_table.row_ids, p_now);
    exception when others then
      if listener.is_transient(sqlstate) then
        raise;
      end if;
      perform listener.mark_broken(v_table.table_id, sqlstate || ' ' || sqlerrm);
      continue;
    end;
    if cardinality(v_shown) = cardinality(v_table.row_ids) then
      v_all := v_all || v_table.sessions;
    else
      v_all := v_all || array(
        select pair.session
        from unnest(v_table.sessions, v_table.row_ids) as pair (session, row_id)
        where pair.row_id = any(v_shown)
      );
    end if;
  end loop;
  return v_all;
end
$$;

revoke all on function listener.show_taken(listener.due_session[], timestamptz) from public, anon, authenticated;
grant execute on function listener.show_taken(listener.due_session[], timestamptz) to service_role;
