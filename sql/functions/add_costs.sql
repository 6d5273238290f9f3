-- listener.add_costs(sessions, items)
-- Adds what attempts came to, [{"session", "attempt", "device_s", "cost_usd"}], both optional, to those sessions that the fence let
-- through: once per attempt, since an attempt is settled once. A completion does the same in its own statement (write_completed).
-- Locks:  none; the caller has locked the sessions.
create function listener.add_costs(p_sessions uuid[], p_items jsonb)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  if not jsonb_path_exists(p_items, '$[*] ? (exists (@.device_s) || exists (@.cost_usd))') then
    return;
  end if;
  update listener.sessions as session
  set
    device_s = case when item.device_s is null then session.device_s else coalesce(session.device_s, 0) + greatest(item.device_s, 0) end,
    cost_usd = case when item.cost_usd is null then session.cost_usd else coalesce(session.cost_usd, 0) + greatest(item.cost_usd, 0) end
  from jsonb_to_recordset(p_items) as item (
    session uuid, attempt integer, device_s double precision, cost_usd double precision
  )
  where session.id = any(p_sessions) and session.id = item.session and session.attempt = item.attempt;
end
$$;

revoke all on function listener.add_costs(uuid[], jsonb) from public, anon, authenticated;
grant execute on function listener.add_costs(uuid[], jsonb) to service_role;
