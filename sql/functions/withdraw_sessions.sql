-- listener.withdraw_sessions() trigger, after delete, for each statement, transition table old_rows
-- Cancels and refunds the open sessions of deleted rows; a running attempt hears of it at its worker's next heartbeat, and
-- gives back what a cancel would: deleting the row is no way around the kind's policy. What the sessions knew and made goes, too.
-- After, not before: the delete has locked the visible rows by then, so the lock order is the settling functions' own.
-- Locks:  sessions ascending, then accounts.
create function listener.withdraw_sessions()
returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  v_table record;
  v_rows uuid[];
  v_open uuid[];
  v_now timestamptz := listener.clock();
begin
  select registry.id, registry.id_column into strict v_table
  from listener.session_tables as registry
  where registry.relation = tg_relid;

  v_rows := array(select (to_jsonb(old_rows) ->> v_table.id_column)::uuid from old_rows);
  v_open := array(
    select session.id
    from listener.sessions as session
    where
      session.row_id = any(v_rows) and session.table_id = v_table.id
      and session.status in ('queued', 'delayed', 'processing')
    order by session.id
    for no key update
  );
  perform listener.discard(v_table.id, v_rows);
  if cardinality(v_open) = 0 then
    return null;
  end if;
  update listener.sessions as session
  set
    status = 'cancelled', worker = null, run_at = null, finished_at = v_now, updated_at = v_now,
    cancel_requested_at = coalesce(session.cancel_requested_at, v_now),
    refund_due = case when session.status = 'processing' then listener.cancel_share(session.id) end
  where session.id = any(v_open);
  perform listener.refund(v_open);
  return null;
end
$$;

revoke all on function listener.withdraw_sessions() from public, anon, authenticated;
