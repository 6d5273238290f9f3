-- listener.broadcast_arrivals() trigger, after insert, for each statement, transition table new_rows
-- Tells owners of the sessions that arrived: see tell_states.
-- Security definer: users and workers write rows, but nobody else may send on owners' topics.
create function listener.broadcast_arrivals()
returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform listener.tell_states(tg_relid, array(select to_jsonb(new_rows) from new_rows), null);
  return null;
end
$$;

revoke all on function listener.broadcast_arrivals() from public, anon, authenticated, service_role;
