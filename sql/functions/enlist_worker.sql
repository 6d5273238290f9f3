-- listener.enlist_worker(worker, name, kinds, slots, devices, version, lease_s) -> integer
-- Writes a worker's row and starts its lease; returns the lease, bounded to 2..300 s.
-- Security definer: see tables/workers.sql.
-- Locks:  the worker's row.
create function listener.enlist_worker(
  p_worker uuid, p_name text, p_kinds text[], p_slots integer, p_devices jsonb, p_version text, p_lease_s integer
)
returns integer
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  v_lease_s integer := least(greatest(coalesce(p_lease_s, 30), 2), 300);
  v_now timestamptz := listener.clock();
begin
  insert into listener.workers as worker (
    id, name, kinds, slots, devices, version, lease_s, started_at, lease_expires_at
  )
  values (
    p_worker, p_name, p_kinds, p_slots, coalesce(p_devices, '{}'), p_version, v_lease_s, v_now,
    v_now + make_interval(secs => v_lease_s)
  )
  on conflict (id) do update set
    name = excluded.name, kinds = excluded.kinds, slots = excluded.slots, devices = excluded.devices,
    version = excluded.version, lease_s = excluded.lease_s, beats = worker.beats + 1,
    lease_expires_at = excluded.lease_expires_at, expired_at = null;
  return v_lease_s;
end
$$;

revoke all on function listener.enlist_worker(uuid, text, text[], integer, jsonb, text, integer)
from public, anon, authenticated;
grant execute on function listener.enlist_worker(uuid, text, text[], integer, jsonb, text, integer) to service_role;
