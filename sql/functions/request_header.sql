-- listener.request_header(name) -> text
-- A header of the HTTP request that runs this transaction, or null: absent, not HTTP, longer than 200 or not printable ASCII.
create function listener.request_header(p_name text)
returns text
language sql stable security invoker
set search_path = ''
as $$
  select header.value
  from (select nullif(current_setting('request.headers', true), '')::jsonb ->> lower(p_name) as value) as header
  where header.value ~ '^[\x21-\x7e]{1,200}$'
$$;

revoke all on function listener.request_header(text) from public, anon, authenticated;
grant execute on function listener.request_header(text) to service_role;
