-- listener.renew_worker(worker, state) -> (beats, kinds)
-- One write renews the lease of all sessions of a worker and makes the canary beat. No row when the sweep has expired it.
-- A state that does not fit is cut: what an operator reads may not cost a lease.
-- Security definer: see tables/workers.sql.
-- Locks:  the worker's row.
create function listener.renew_worker(p_worker uuid, p_state text)
returns table (beats bigint, kinds text[])
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  return query
  update listener.workers as worker
  set beats = worker.beats + 1, lease_expires_at = listener.clock() + make_interval(secs => worker.lease_s),
    state = nullif(left(p_state, 40), '')
  where worker.id = p_worker and worker.expired_at is null
  returning worker.beats, worker.kinds;
end
$$;

revoke all on function listener.renew_worker(uuid, text) from public, anon, authenticated;
grant execute on function listener.renew_worker(uuid, text) to service_role;
