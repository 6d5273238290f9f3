-- listener.cancel_own_session(row_id) -> jsonb
-- Cancels the caller's session: see cancel_owned.
-- Security definer: users never touch the private schema's tables.
-- Locks:  the visible row, then the session, then the account.
create function listener.cancel_own_session(p_row_id uuid)
returns jsonb
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  return listener.cancel_owned((select auth.uid()), p_row_id);
end
$$;

revoke all on function listener.cancel_own_session(uuid) from public, anon, authenticated;
grant execute on function listener.cancel_own_session(uuid) to authenticated;
