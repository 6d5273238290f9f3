-- listener.own_queue_status(row_id) -> jsonb
-- Where the caller's session stands: see listener.queue_status_of.
-- Security definer: users never touch the private schema's tables.
-- Raises: SL002 session_unknown, also for other owners' sessions.
create function listener.own_queue_status(p_row_id uuid)
returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
begin
  return listener.queue_status_of((select auth.uid()), p_row_id);
end
$$;

revoke all on function listener.own_queue_status(uuid) from public, anon, authenticated, service_role;
grant execute on function listener.own_queue_status(uuid) to authenticated;
