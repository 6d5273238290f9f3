-- listener.write_completed(sessions, versions, results, refunds, devices_s, costs_usd, now) -> integer
-- Settles sessions as completed, adds what their attempts came to where that is known, and tells analytics so, in one statement: no
-- session is read again for its event. Those whose xmin is no longer the given version are left alone; null means any. Returns how
-- many it wrote.
-- Locks:  sessions.
create function listener.write_completed(
  p_sessions uuid[], p_versions xid[], p_results jsonb[], p_refunds integer[], p_devices_s double precision[],
  p_costs_usd double precision[], p_now timestamptz
)
returns integer
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_count integer;
  v_packs uuid[];
begin
  with settled as (
    update listener.sessions as session
    set
      status = 'completed', progress = 100, note = null, finished_at = p_now, updated_at = p_now, result = given.result,
      error_code = null, error_message = null, error_details = null,
      refund_due = nullif(least(greatest(given.refund, 0), session.cost), 0),
      device_s = case when given.device_s is null then session.device_s else coalesce(session.device_s, 0) + greatest(given.device_s, 0) end,
      cost_usd = case when given.cost_usd is null then session.cost_usd else coalesce(session.cost_usd, 0) + greatest(given.cost_usd, 0) end
    from
      unnest(p_sessions, p_versions, p_results, p_refunds, p_devices_s, p_costs_usd)
        as given (id, version, result, refund, device_s, cost_usd),
      listener.kinds as policy
    where session.id = given.id and session.kind = policy.kind and session.xmin = coalesce(given.version, session.xmin)
    returning session.id, session.kind, session.owner, session.params ->> 'character_id' as character_id, session.started_at,
      policy.records_events
  ),
  told as (
    insert into listener.events (session, event, kind, owner, properties, at)
    select
      settled.id, 'generation_completed', settled.kind, settled.owner,
      jsonb_build_object(
        'character_id', settled.character_id,
        'duration_ms', floor(1000 * extract(epoch from p_now - settled.started_at))::bigint
      ),
      p_now
    from settled
    where settled.records_events
  )
  select count(*), array_agg(settled.id) filter (where settled.kind = 'pack') into v_count, v_packs from settled;
  if v_packs is not null then
    perform listener.record_events(v_packs, 'pack_completed');
  end if;
  return v_count;
end
$$;

revoke all on function listener.write_completed(
  uuid[], xid[], jsonb[], integer[], double precision[], double precision[], timestamptz
) from public, anon, authenticated;
grant execute on function listener.write_completed(
  uuid[], xid[], jsonb[], integer[], double precision[], double precision[], timestamptz
) to service_role;
