-- listener.renew_worker(worker) -> (beats, kinds)
-- One write renews the lease of all sessions of a worker and makes the canary beat. No row when the sweep has expired it.
-- Security definer: see tables/workers.sql.
-- Locks:  the worker's row.
create function listener.renew_worker(p_worker uuid)
returns table (beats bigint, kinds text[])
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  return query
  update listener.workers as worker
  set beats = worker.beats + 1, lease_expires_at = listener.clock() + make_interval(secs => worker.lease_s)
  where worker.id = p_worker and worker.expired_at is null
  returning worker.beats, worker.kinds;
end
$$;

revoke all on function listener.renew_worker(uuid) from public, anon, authenticated;
grant execute on function listener.renew_worker(uuid) to service_role;
