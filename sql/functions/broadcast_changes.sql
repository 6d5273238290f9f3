-- listener.broadcast_changes() trigger, after update, for each statement, transition tables old_rows and new_rows
-- Tells owners of the states that changed: see tell_states.
-- Security definer: users and workers write rows, but nobody else may send on owners' topics.
create function listener.broadcast_changes()
returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform listener.tell_states(
    tg_relid, array(select to_jsonb(new_rows) from new_rows), array(select to_jsonb(old_rows) from old_rows)
  );
  return null;
end
$$;

revoke all on function listener.broadcast_changes() from public, anon, authenticated, service_role;
