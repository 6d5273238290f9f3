-- listener.set_broadcasts(relation, broadcasts)
-- Switches on, or off, that the states of a watched table's rows go out on the private topics owner:<id>, too. Off by default:
-- each message is an insert in the writing transaction. Mending keeps it, unwatching ends it.
-- Locks:  the table, until the transaction ends.
-- Raises: 55000 not_watched, realtime_missing.
create function listener.set_broadcasts(relation regclass, broadcasts boolean)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_misfit listener.misfit;
begin
  perform listener.hold_table(set_broadcasts.relation);
  if not exists (select from listener.session_tables as known where known.relation = set_broadcasts.relation) then
    v_misfit := row('not_watched', 'The table is not watched.', 'Call listener.watch.');
  elsif
    set_broadcasts.broadcasts
    and (to_regprocedure('realtime.send(jsonb,text,text,boolean)') is null or to_regclass('realtime.messages') is null)
  then
    v_misfit := row(
      'realtime_missing', 'This database has no realtime.send(jsonb, text, text, boolean), or no realtime.messages.',
      'Realtime brings them: update it, and let a client connect once.'
    );
  end if;
  if v_misfit.name is not null then
    raise exception using
      errcode = '55000', message = format('%s cannot broadcast: %s', set_broadcasts.relation, v_misfit.name),
      detail = v_misfit.detail, hint = v_misfit.hint;
  end if;

  execute format('drop trigger if exists listener_broadcast_insert on %s', set_broadcasts.relation);
  execute format('drop trigger if exists listener_broadcast_update on %s', set_broadcasts.relation);
  if set_broadcasts.broadcasts then
    perform listener.open_topics();
    execute format(
      'create trigger listener_broadcast_insert after insert on %s referencing new table as new_rows '
      'for each statement execute function listener.broadcast_arrivals()', set_broadcasts.relation
    );
    execute format(
      'create trigger listener_broadcast_update after update on %s referencing old table as old_rows new table as new_rows '
      'for each statement execute function listener.broadcast_changes()', set_broadcasts.relation
    );
  end if;
end
$$;

revoke all on function listener.set_broadcasts(regclass, boolean) from public, anon, authenticated, service_role;
