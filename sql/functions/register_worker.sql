-- public.register_worker(worker, name, kinds, slots, devices, version, lease_s) -> jsonb
-- Starts a worker's lease, or starts it again after it was lost. Answers {"schema_version", "oldest_worker", "lease_s", "tables"}.
-- Units: lease_s is seconds, bounded to 2..300.
-- Locks:  the worker's row.
create function public.register_worker(
  p_worker uuid, p_name text, p_kinds text[], p_slots integer, p_devices jsonb, p_version text, p_lease_s integer
)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  return jsonb_build_object(
    'schema_version', listener.schema_version(),
    'oldest_worker', listener.oldest_worker(),
    'lease_s', listener.enlist_worker(p_worker, p_name, p_kinds, p_slots, p_devices, p_version, p_lease_s),
    'tables', listener.served_tables(p_kinds)
  );
end
$$;

revoke all on function public.register_worker(uuid, text, text[], integer, jsonb, text, integer)
from public, anon, authenticated;
grant execute on function public.register_worker(uuid, text, text[], integer, jsonb, text, integer) to service_role;
