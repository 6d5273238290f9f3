-- listener.live_worker(worker) -> boolean
-- Whether a worker is known and its lease holds.
-- Security definer: service_role may read only (id, beats) of the published table.
create function listener.live_worker(p_worker uuid)
returns boolean
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  return exists (
    select from listener.workers as worker
    where worker.id = p_worker and worker.expired_at is null and worker.lease_expires_at > listener.clock()
  );
end
$$;

revoke all on function listener.live_worker(uuid) from public, anon, authenticated;
grant execute on function listener.live_worker(uuid) to service_role;
