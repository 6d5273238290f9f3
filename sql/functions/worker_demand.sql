-- public.worker_demand() -> integer
-- Sessions that need a worker now, for autoscalers: waiting and due, or running. Never null.
create function public.worker_demand()
returns integer
language sql volatile security invoker
set search_path = ''
as $$
  select count(*)::integer
  from listener.sessions as session
  where
    session.status = 'queued'
    or session.status = 'processing'
    or (session.status = 'delayed' and session.run_at <= (select listener.clock()))
$$;

revoke all on function public.worker_demand() from public, anon, authenticated;
grant execute on function public.worker_demand() to service_role;
