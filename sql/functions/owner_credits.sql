-- public.owner_credits(owner) -> integer
-- The door of a server that knows by itself who asks (an API key's store): see listener.balance_of.
create function public.owner_credits(p_owner uuid)
returns integer
language plpgsql stable security invoker
set search_path = ''
as $$
begin
  return listener.balance_of(p_owner);
end
$$;

revoke all on function public.owner_credits(uuid) from public, anon, authenticated;
grant execute on function public.owner_credits(uuid) to service_role;
