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
  update listener.sessions as session
  set
    status = 'completed', progress = 100, note = null, finished_at = v_now, updated_at = v_now,
    result = case when jsonb_typeof(item.result) = 'object' then item.result end,
    error_code = null, error_message = null, error_details = null,
    refund_due = nullif(least(greatest(item.refund, 0), session.cost), 0)
  from jsonb_to_recordset(p_items) as item (session uuid, attempt integer, result jsonb, refund integer)
  where session.id = any(p_sessions) and session.id = item.session and session.attempt = item.attempt;
  if jsonb_path_exists(p_items, '$[*].refund ? (@ > 0)') then
    perform listener.refund(p_sessions);
  end if;
  perform listener.project(p_sessions);
end
$$;

revoke all on function listener.complete_applied(uuid[], jsonb) from public, anon, authenticated;
grant execute on function listener.complete_applied(uuid[], jsonb) to service_role;
