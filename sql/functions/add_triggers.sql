-- listener.add_triggers(table)
-- Gives a table the triggers of a session table, anew where it has them. For each statement wherever money moves: per row, one
-- owner's bulk insert costs quadratic time. The reset bears zz, since triggers fire by name and it must see the row last.
-- Locks:  the table, which the caller holds.
create function listener.add_triggers(p_table listener.session_tables)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_starts_as jsonb := (
    select jsonb_object_agg(pair.value, ours.starts_as)
    from listener.state_columns() as ours
    inner join jsonb_each_text(p_table.columns) as pair on ours.name = pair.key
    where ours.starts_as is not null
  );
begin
  execute format(
    'create or replace trigger zz_listener_reset before insert on %s for each row execute function listener.reset_state(%L)',
    p_table.relation, v_starts_as
  );
  execute format(
    'create or replace trigger listener_register after insert on %s referencing new table as new_rows '
    'for each statement execute function listener.register_sessions()', p_table.relation
  );
  execute format(
    'create or replace trigger listener_withdraw after delete on %s referencing old table as old_rows '
    'for each statement execute function listener.withdraw_sessions()', p_table.relation
  );
  execute format(
    'create or replace trigger listener_refuse_truncate before truncate on %s '
    'for each statement execute function listener.refuse_truncate()', p_table.relation
  );
end
$$;

revoke all on function listener.add_triggers(listener.session_tables) from public, anon, authenticated, service_role;
