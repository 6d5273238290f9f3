-- listener.error_details(code, details, now) -> jsonb
-- What the visible row's error_details shows: at least the type and the time, then what the worker gave.
create function listener.error_details(p_code text, p_details jsonb, p_now timestamptz)
returns jsonb
language sql immutable security invoker
set search_path = ''
as $$
  select jsonb_build_object('type', p_code, 'timestamp', p_now at time zone 'utc')
    || case when jsonb_typeof(p_details) = 'object' then p_details else '{}' end
$$;

revoke all on function listener.error_details(text, jsonb, timestamptz) from public, anon, authenticated;
grant execute on function listener.error_details(text, jsonb, timestamptz) to service_role;
