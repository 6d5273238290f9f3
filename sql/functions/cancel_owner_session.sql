-- public.cancel_owner_session(owner, row_id) -> jsonb
-- The door of a server that knows by itself who asks (an API key's store): see listener.cancel_owned.
create function public.cancel_owner_session(p_owner uuid, p_row_id uuid)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  return listener.cancel_owned(p_owner, p_row_id);
end
$$;

revoke all on function public.cancel_owner_session(uuid, uuid) from public, anon, authenticated;
grant execute on function public.cancel_owner_session(uuid, uuid) to service_role;
