-- public.requested_cancels(worker) -> jsonb
-- The ids of the sessions that a worker holds and whose owners want them cancelled. Writes nothing: a worker asks every second.
create function public.requested_cancels(p_worker uuid)
returns jsonb
language sql stable security invoker
set search_path = ''
as $$
  select coalesce(jsonb_agg(session.id order by session.id), '[]')
  from listener.sessions as session
  where session.worker = p_worker and session.status = 'processing' and session.cancel_requested_at is not null
$$;

revoke all on function public.requested_cancels(uuid) from public, anon, authenticated;
grant execute on function public.requested_cancels(uuid) to service_role;
