-- public.queue_status(row_id) -> jsonb
-- A signed-in user's door to listener.own_queue_status.
create function public.queue_status(p_row_id uuid)
returns jsonb
language plpgsql stable security invoker
set search_path = ''
as $$
begin
  return listener.own_queue_status(p_row_id);
end
$$;

revoke all on function public.queue_status(uuid) from public, anon, authenticated, service_role;
grant execute on function public.queue_status(uuid) to authenticated;
