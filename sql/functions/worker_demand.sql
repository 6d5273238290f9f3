-- public.worker_demand() -> integer
-- Sessions that need a worker now, for autoscalers: running, or waiting and due as far as the limits would let them run.
-- Never null.
create function public.worker_demand()
returns integer
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  if
    exists (select from listener.plans as plan where plan.running_at_once is not null)
    or exists (select from listener.kinds as kind where kind.running_at_once is not null)
  then
    return listener.limited_demand();
  end if;
  return (
    select count(*)
    from listener.sessions as session
    where
      session.status = 'queued'
      or session.status = 'processing'
      or (session.status = 'delayed' and session.run_at <= (select listener.clock()))
  );
end
$$;

revoke all on function public.worker_demand() from public, anon, authenticated;
grant execute on function public.worker_demand() to service_role;
