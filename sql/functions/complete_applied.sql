-- listener.complete_applied(sessions, items)
-- Settles as completed those sessions that the fence let through, and gives back what a pack did not deliver.
-- Locks:  accounts ascending; the fence has locked visible rows and sessions.
create function listener.complete_applied(p_sessions uuid[], p_items jsonb)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := listener.clock();
begin
  perform listener.write_completed(
    array_agg(item.session), null, array_agg(case when jsonb_typeof(item.result) = 'object' then item.result end),
    array_agg(item.refund), array_agg(item.device_s), array_agg(item.cost_usd), v_now
  )
  from listener.sessions as session
  inner join jsonb_to_recordset(p_items) as item (
    session uuid, attempt integer, result jsonb, refund integer, device_s double precision, cost_usd double precision
  )
    on session.id = item.session and session.attempt = item.attempt
  where session.id = any(p_sessions);
  if jsonb_path_exists(p_items, '$[*].refund ? (@ > 0)') then
    perform listener.refund(p_sessions);
  end if;
  perform listener.project(p_sessions);
end
$$;

revoke all on function listener.complete_applied(uuid[], jsonb) from public, anon, authenticated;
grant execute on function listener.complete_applied(uuid[], jsonb) to service_role;
