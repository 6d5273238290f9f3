-- listener.broadcast_states() trigger, after insert or update, for each statement, transition tables new_rows and, of an update, old_rows
-- Tells the private topic owner:<id> of each row whose state is new: it arrived as queued, or its version changed.
-- Never fails: what was not told is a warning, and the watcher reads the row by and by. realtime.send itself may be gone.
-- Security definer: users and workers write rows, but nobody else than this may send on these topics.
create function listener.broadcast_states()
returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  v_table listener.session_tables;
  v_rows jsonb[];
begin
  select known.* into v_table from listener.session_tables as known where known.relation = tg_relid;
  if tg_op = 'INSERT' then
    v_rows := array(
      select to_jsonb(new_rows) from new_rows where to_jsonb(new_rows) ->> (v_table.columns ->> 'status') = 'queued'
    );
  else
    v_rows := array(
      select to_jsonb(new_rows)
      from new_rows
      left join old_rows on to_jsonb(new_rows) -> v_table.id_column = to_jsonb(old_rows) -> v_table.id_column
      where
        to_jsonb(new_rows) -> (v_table.columns ->> 'version')
        is distinct from to_jsonb(old_rows) -> (v_table.columns ->> 'version')
    );
  end if;
  perform realtime.send(
    listener.state_message(v_table, shown.fields), 'session', 'owner:' || (shown.fields ->> v_table.owner_column), true
  )
  from unnest(v_rows) as shown (fields);
  return null;
exception when others then
  raise warning 'listener: no state of % was broadcast: % (%)', tg_relid::regclass, sqlerrm, sqlstate;
  return null;
end
$$;

revoke all on function listener.broadcast_states() from public, anon, authenticated, service_role;
