-- listener.register_sessions() trigger, after insert, for each statement, transition table new_rows
-- Makes the rows that arrived sessions, in the inserting transaction, and tells the workers of listener.webhooks: see
-- register_rows and send_webhooks.
-- Security definer: users insert rows but never touch the private schema.
-- Locks:  accounts, ascending owner.
create function listener.register_sessions()
returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  if listener.register_rows(tg_relid, array(select to_jsonb(new_rows) from new_rows), true) > 0 then
    perform listener.send_webhooks(tg_relid);
  end if;
  return null;
end
$$;

revoke all on function listener.register_sessions() from public, anon, authenticated;
