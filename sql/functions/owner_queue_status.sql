-- public.owner_queue_status(owner, row_id) -> jsonb
-- The door of a server that knows by itself who asks (an API key's store): see listener.queue_status_of.
create function public.owner_queue_status(p_owner uuid, p_row_id uuid)
returns jsonb
language plpgsql stable security invoker
set search_path = ''
as $$
begin
  return listener.queue_status_of(p_owner, p_row_id);
end
$$;

revoke all on function public.owner_queue_status(uuid, uuid) from public, anon, authenticated;
grant execute on function public.owner_queue_status(uuid, uuid) to service_role;
