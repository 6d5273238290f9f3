-- listener.enter_table(table) -> integer
-- Writes a table into the registry and returns its id.
create function listener.enter_table(p_table listener.session_tables)
returns integer
language sql volatile security invoker
set search_path = ''
as $$
  insert into listener.session_tables as known (relation, kind, id_column, owner_column, columns, credits, on_refund)
  values (
    p_table.relation, p_table.kind, p_table.id_column, p_table.owner_column, p_table.columns, p_table.credits,
    p_table.on_refund
  )
  returning known.id
$$;

revoke all on function listener.enter_table(listener.session_tables) from public, anon, authenticated, service_role;
