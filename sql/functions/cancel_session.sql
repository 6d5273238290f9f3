-- public.cancel_session(row_id) -> jsonb
-- A signed-in user's door to listener.cancel_own_session.
create function public.cancel_session(p_row_id uuid)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  return listener.cancel_own_session(p_row_id);
end
$$;

revoke all on function public.cancel_session(uuid) from public, anon, authenticated, service_role;
grant execute on function public.cancel_session(uuid) to authenticated;
