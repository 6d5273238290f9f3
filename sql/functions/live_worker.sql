-- listener.live_worker(worker) -> (beat, models)
-- Of a worker whose lease holds: the number of its heartbeats, and the models it registered by kind; else nulls.
-- Security definer: service_role may read only (id, beats) of the published table.
create function listener.live_worker(p_worker uuid, out beat bigint, out models jsonb)
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  v_now timestamptz := listener.clock();
begin
  select worker.beats, worker.devices -> 'models' into beat, models
  from listener.workers as worker
  where worker.id = p_worker and worker.expired_at is null and worker.lease_expires_at > v_now;
end
$$;

revoke all on function listener.live_worker(uuid) from public, anon, authenticated;
grant execute on function listener.live_worker(uuid) to service_role;
