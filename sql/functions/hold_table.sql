-- listener.hold_table(relation)
-- Keeps everybody else from a table until the transaction ends, so that what is checked is what is adopted.
-- Locks:  the table, exclusively; set lock_timeout to bound the wait, during which all who come later wait, too.
create function listener.hold_table(p_relation regclass)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  execute format('lock table %s in access exclusive mode', p_relation);
end
$$;

revoke all on function listener.hold_table(regclass) from public, anon, authenticated, service_role;
