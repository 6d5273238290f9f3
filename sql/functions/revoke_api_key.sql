-- public.revoke_api_key(key) -> jsonb
-- Makes a key worthless from now on; what it was used for stays known. Answers {"outcome": applied | already | unknown}.
create function public.revoke_api_key(p_key uuid)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  update listener.api_keys as given
  set revoked_at = listener.clock()
  where given.key = p_key and given.revoked_at is null;
  if found then
    return jsonb_build_object('outcome', 'applied');
  elsif exists (select from listener.api_keys as given where given.key = p_key) then
    return jsonb_build_object('outcome', 'already');
  end if;
  return jsonb_build_object('outcome', 'unknown');
end
$$;

revoke all on function public.revoke_api_key(uuid) from public, anon, authenticated;
grant execute on function public.revoke_api_key(uuid) to service_role;
