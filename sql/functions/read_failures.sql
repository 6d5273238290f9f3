-- listener.read_failures(items) -> (session, attempt, code, message, details, delay_s)
-- The items of fail_sessions and retry_sessions as rows, once per (session, attempt), bounded and with the default code.
-- Units: delay_s is seconds, 0..86400.
create function listener.read_failures(p_items jsonb)
returns table (
  session uuid, attempt integer, code text, message text, details jsonb, delay_s double precision
)
language sql immutable security invoker
set search_path = ''
as $$
  select distinct on (given.session, given.attempt)
    given.session,
    given.attempt,
    left(coalesce(nullif(given.code, ''), 'generation_failed'), 200),
    left(given.message, 2000),
    given.details,
    least(greatest(coalesce(given.delay_s, 0), 0), 86400)
  from jsonb_to_recordset(p_items) as given (
    session uuid, attempt integer, code text, message text, details jsonb, delay_s double precision
  )
$$;

revoke all on function listener.read_failures(jsonb) from public, anon, authenticated;
grant execute on function listener.read_failures(jsonb) to service_role;
