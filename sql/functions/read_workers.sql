-- listener.read_workers() -> setof (name, kinds, slots, running, version, started_at, lease_left_s, state)
-- The workers whose lease runs, oldest first.
-- Security definer: see tables/workers.sql.
-- Units: lease_left_s is seconds.
create function listener.read_workers()
returns table (
  name text, kinds text[], slots integer, running bigint, version text, started_at timestamptz, lease_left_s integer,
  state text
)
language sql stable security definer
set search_path = ''
as $$
  select
    worker.name,
    worker.kinds,
    worker.slots,
    (
      select count(*)
      from listener.sessions as session
      where session.worker = worker.id and session.status = 'processing'
    ),
    worker.version,
    worker.started_at,
    extract(epoch from worker.lease_expires_at - listener.clock())::integer,
    worker.state
  from listener.workers as worker
  where worker.expired_at is null and worker.lease_expires_at > listener.clock()
  order by worker.started_at, worker.id
$$;

revoke all on function listener.read_workers() from public, anon, authenticated;
grant execute on function listener.read_workers() to service_role;
