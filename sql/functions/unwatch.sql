-- listener.unwatch(relation, cancel_open) -> jsonb
-- Leaves a table to itself: no triggers, no place in the publication (unless it had one before), no entry in the registry. Its
-- columns, rows and grants stay, and so do the sessions and the ledger. Open sessions refuse it, or are cancelled and refunded
-- with cancel_open. A table that was dropped is named by its oid. Answers {"cancelled", "refunded"}.
-- Locks:  the table, then its open sessions ascending, then accounts.
-- Raises: 55000 not_watched, sessions_open.
create function listener.unwatch(relation regclass, cancel_open boolean default false)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_table listener.session_tables;
  v_open uuid[];
  v_refunded integer := 0;
  v_misfit listener.misfit;
  v_exists boolean := exists (select from pg_catalog.pg_class as class where class.oid = unwatch.relation);
begin
  if v_exists then
    perform listener.hold_table(unwatch.relation);
  end if;
  select known.* into v_table from listener.session_tables as known where known.relation = unwatch.relation for update;
  v_open := array(
    select session.id from listener.sessions as session
    where session.table_id = v_table.id and session.status in ('queued', 'delayed', 'processing')
    order by session.id
    for no key update
  );
  if v_table.id is null then
    v_misfit := row('not_watched', 'The table is not watched.', 'select relation from listener.session_tables;');
  elsif cardinality(v_open) > 0 and not unwatch.cancel_open then
    v_misfit := row(
      'sessions_open', format('%s sessions are waiting or running.', cardinality(v_open)),
      'Let them end, or cancel and refund them: cancel_open => true.'
    );
  end if;
  if v_misfit.name is not null then
    raise exception using
      errcode = '55000', message = format('%s cannot be unwatched: %s', unwatch.relation, v_misfit.name),
      detail = v_misfit.detail, hint = v_misfit.hint;
  end if;

  if cardinality(v_open) > 0 then
    v_refunded := listener.cancel_here(v_open);
  end if;
  if v_exists then
    perform listener.strip_table(v_table);
  end if;
  delete from listener.session_tables as known where known.id = v_table.id;
  return jsonb_build_object('cancelled', cardinality(v_open), 'refunded', v_refunded);
end
$$;

revoke all on function listener.unwatch(regclass, boolean) from public, anon, authenticated, service_role;
