-- listener.show_taken(due, now) -> uuid[]
-- Shows sessions as processing on those of their visible rows that are there and free, and returns those sessions.
-- An error that lies in a table marks it broken. Who has shown them all knows that there is no further table, and does not ask.
-- Locks:  visible rows by table, skip locked; never waits.
create function listener.show_taken(p_due listener.due_session[], p_now timestamptz)
returns uuid[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_table_id integer := p_due[1].table_id;
  v_tables integer[] := '{}'::integer[];
  v_shown uuid[] := '{}'::uuid[];
begin
  loop
    begin
      v_shown := v_shown || listener.take_visible(v_table_id, p_due, p_now);
    exception when others then
      if listener.is_transient(sqlstate) then
        raise;
      end if;
      perform listener.mark_broken(v_table_id, sqlstate || ' ' || sqlerrm);
    end;
    exit when cardinality(v_shown) = cardinality(p_due);
    v_tables := v_tables || v_table_id;
    v_table_id := (select min(due.table_id) from unnest(p_due) as due where due.table_id <> all(v_tables));
    exit when v_table_id is null;
  end loop;
  return v_shown;
end
$$;

revoke all on function listener.show_taken(listener.due_session[], timestamptz) from public, anon, authenticated;
grant execute on function listener.show_taken(listener.due_session[], timestamptz) to service_role;
