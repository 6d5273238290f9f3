-- listener.complete_held(worker, items) -> attempt_outcome[]
-- Settles as completed what the worker plainly holds, without locking first. Null, and nothing written, as soon as one item is
-- stale, doubled, settled or to be refunded, its row out of reach, or of another or a broken table: then the fence decides
-- item by item.
-- What was read before the rows were locked still holds if no session was written since, which xmin tells.
-- Read one by one by the primary key (limit 1): the planner would rather read a small table whole, or an index full of settled ones.
-- Locks:  visible rows, in the order of their ids as the fence does, then sessions; waits.
create function listener.complete_held(p_worker uuid, p_items jsonb)
returns listener.attempt_outcome[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_count integer := jsonb_array_length(p_items);
  v_now timestamptz := listener.clock();
  v_held record;
  v_done integer;
begin
  select
    count(*) filter (
      where held.attempt = item.attempt and held.worker = p_worker and held.status = 'processing' and registry.broken_at is null
    ) as count,
    bool_or(item.refund > 0) as has_refund, min(held.table_id) as table_id, max(held.table_id) as last_table_id,
    array_agg(held.id) as sessions, array_agg(held.version) as versions, array_agg(given.result) as results,
    array_agg(item.device_s) as spent_s, array_agg(item.cost_usd) as spent_usd,
    array_agg(
      row(held.id, held.attempt, 'applied', null, held.cancel_requested_at is not null)::listener.attempt_outcome
      order by item.ordinal
    ) as outcomes,
    array_agg(
      row(
        held.row_id, 'completed', 100, null, null, null, null,
        coalesce(given.result, '{}') || jsonb_build_object('artifacts', coalesce((
          select list.artifacts from listener.artifact_lists as list
          where list.session = held.id and list.attempt = held.attempt
        ), '[]')),
        held.started_at, v_now, v_now
      )::listener.visible_state order by held.row_id
    ) as states
  into v_held
  from rows from (
    jsonb_to_recordset(p_items) as (
      session uuid, attempt integer, result jsonb, refund integer, device_s double precision, cost_usd double precision
    )
  ) with ordinality as item (session, attempt, result, refund, device_s, cost_usd, ordinal)
  cross join lateral (
    select
      session.id, session.table_id, session.row_id, session.worker, session.status, session.attempt, session.started_at,
      session.cancel_requested_at, session.xmin as version
    from listener.sessions as session
    where session.id = item.session limit 1
  ) as held
  inner join listener.session_tables as registry on held.table_id = registry.id
  cross join lateral (select case when jsonb_typeof(item.result) = 'object' then item.result end as result) as given;
  if v_held.count <> v_count or v_held.has_refund or v_held.table_id is distinct from v_held.last_table_id then
    return null;
  end if;

  v_done := cardinality(listener.write_visible(v_held.table_id, v_held.states));
  if v_done = v_count then
    v_done := listener.write_completed(v_held.sessions, v_held.versions, v_held.results, null, v_held.spent_s, v_held.spent_usd, v_now);
  end if;
  if v_done <> v_count then
    raise exception 'held_no_longer' using errcode = 'SL000';
  end if;
  return v_held.outcomes;
exception when others then
  if listener.is_transient(sqlstate) then
    raise;
  end if;
  return null;
end
$$;

revoke all on function listener.complete_held(uuid, jsonb) from public, anon, authenticated;
grant execute on function listener.complete_held(uuid, jsonb) to service_role;
