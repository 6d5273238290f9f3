-- listener.backfill_rows(table) -> integer
-- Makes the rows that stand at queued already sessions, in the order of their ids, and charges their owners; returns how many.
-- Locks:  accounts, ascending owner; the caller holds the table.
-- Raises: 55000 backfill_unpayable, then none is charged.
create function listener.backfill_rows(p_table listener.session_tables)
returns integer
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_rows jsonb[];
begin
  execute format(
    'select array(select to_jsonb(visible) from %1$s as visible where visible.%2$I = ''queued'' order by visible.%3$I)',
    p_table.relation, p_table.columns ->> 'status', p_table.id_column
  ) into v_rows;
  return listener.register_rows(p_table.relation, v_rows);
exception when sqlstate 'PT402' then
  perform listener.refuse_table(p_table.relation, array[row(
    'backfill_unpayable',
    format('Not every owner of the %s queued rows has the credits for his own.', cardinality(v_rows)),
    'Grant credits first, finish or delete rows, or watch without backfill.'
  )]::listener.misfit[]);
  return null;  -- not reached: refuse_table raises
end
$$;

revoke all on function listener.backfill_rows(listener.session_tables) from public, anon, authenticated, service_role;
