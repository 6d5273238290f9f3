-- listener.live_beat(worker) -> bigint
-- The number of heartbeats of a worker whose lease holds, else null.
-- Security definer: service_role may read only (id, beats) of the published table.
create function listener.live_beat(p_worker uuid)
returns bigint
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  v_now timestamptz := listener.clock();
begin
  return (
    select worker.beats
    from listener.workers as worker
    where worker.id = p_worker and worker.expired_at is null and worker.lease_expires_at > v_now
  );
end
$$;

revoke all on function listener.live_beat(uuid) from public, anon, authenticated;
grant execute on function listener.live_beat(uuid) to service_role;
