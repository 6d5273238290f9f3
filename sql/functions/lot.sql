-- listener.lot(id) -> numeric
-- A number from 0 up to 1 that is always the same for an id and spread evenly over ids.
create function listener.lot(p_id uuid)
returns numeric
language sql immutable security invoker
set search_path = ''
as $$
  select ('x' || encode(substr(sha256(uuid_send(p_id)), 1, 4), 'hex'))::bit(32)::bigint / 4294967296.0
$$;

revoke all on function listener.lot(uuid) from public, anon, authenticated, service_role;
