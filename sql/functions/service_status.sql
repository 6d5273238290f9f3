-- public.service_status() -> jsonb
-- What an operator asks first. Answers {"schema_version", "workers", "kinds", "broken_tables"}: the workers that are alive,
-- each with the state that it sent with its newest heartbeat, open sessions of each kind, and tables whose rows can no longer
-- be written, with the reason.
-- One branch for each partial index of listener.sessions: finished sessions cost nothing.
-- Units: oldest_wait_s and lease_left_s are seconds.
create function public.service_status()
returns jsonb
language sql volatile security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'schema_version', listener.schema_version(),
    'workers', (
      select coalesce(jsonb_agg(to_jsonb(worker) order by worker.started_at, worker.name), '[]')
      from listener.read_workers() as worker
    ),
    'kinds', (
      select coalesce(jsonb_agg(to_jsonb(backlog) order by backlog.kind), '[]')
      from (
        select
          kinds.kind,
          count(*) filter (where still_open.status = 'queued') as queued,
          count(*) filter (where still_open.status = 'delayed') as delayed,
          count(*) filter (where still_open.status = 'processing') as processing,
          coalesce(extract(epoch from listener.clock() - min(still_open.waiting_since)), 0)::integer as oldest_wait_s
        from listener.kinds as kinds
        left join (
          select session.kind, session.status, session.created_at as waiting_since
          from listener.sessions as session where session.status = 'queued'
          union all
          select session.kind, session.status, null from listener.sessions as session where session.status = 'delayed'
          union all
          select session.kind, session.status, null from listener.sessions as session where session.status = 'processing'
        ) as still_open on kinds.kind = still_open.kind
        group by kinds.kind
      ) as backlog
    ),
    'broken_tables', (
      select
        coalesce(
          jsonb_agg(
            jsonb_build_object('table', registry.relation::text, 'reason', listener.fault_of_table(registry))
            order by registry.id
          ),
          '[]'
        )
      from listener.session_tables as registry
      where listener.fault_of_table(registry) is not null
    )
  )
$$;

revoke all on function public.service_status() from public, anon, authenticated;
grant execute on function public.service_status() to service_role;
