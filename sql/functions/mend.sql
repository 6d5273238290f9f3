-- listener.mend(relation, columns) -> jsonb
-- Takes a broken table back into service once every state fits again, with another mapping where columns is given, and shows
-- what its sessions came to meanwhile. What shows the state now is not the users' to write from now on.
-- Answers {"was_broken", "projected"}.
-- Locks:  the table, then all writes to sessions, until the transaction ends: else a settlement under way would not be shown.
-- Raises: 55000 when the table is not watched or still refused.
create function listener.mend(relation regclass, columns jsonb default null)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_table listener.session_tables;
  v_stale uuid[];
begin
  perform listener.hold_table(mend.relation);
  select known.* into v_table from listener.session_tables as known where known.relation = mend.relation for update;
  if not found then
    perform listener.refuse_table(mend.relation, array[row(
      'not_watched', 'The table is not watched.', 'Call listener.watch.'
    )]::listener.misfit[]);
  end if;
  if mend.columns is not null then
    v_table.columns := listener.map_columns(mend.columns);
  end if;
  perform listener.refuse_table(mend.relation, array(
    select listener.column_misfits(v_table) union all select listener.index_misfits(v_table)
  ));
  if mend.columns is not null then
    perform listener.add_triggers(v_table);
    perform listener.narrow_updates(v_table);
  end if;
  lock table listener.sessions in share row exclusive mode;
  update listener.session_tables as known
  set columns = v_table.columns, broken_at = null, broken_reason = null
  where known.id = v_table.id;
  perform listener.dry_run(v_table);
  v_stale := listener.stale_sessions(v_table);
  perform listener.project(v_stale);
  return jsonb_build_object('was_broken', v_table.broken_at is not null, 'projected', cardinality(v_stale));
end
$$;

revoke all on function listener.mend(regclass, jsonb) from public, anon, authenticated, service_role;
