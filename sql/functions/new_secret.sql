-- listener.new_secret() -> text
-- A secret as Standard Webhooks has it: whsec_ and the base64 of 48 bytes with 366 random bits, without pgcrypto.
create function listener.new_secret()
returns text
language sql volatile security invoker
set search_path = ''
as $$
  select 'whsec_' || encode(
    decode(replace(concat(gen_random_uuid(), gen_random_uuid(), gen_random_uuid()), '-', ''), 'hex'), 'base64'
  )
$$;

revoke all on function listener.new_secret() from public, anon, authenticated;
grant execute on function listener.new_secret() to service_role;
