-- public.credit_balance() -> integer
-- A signed-in user's door to listener.own_balance.
create function public.credit_balance()
returns integer
language plpgsql stable security invoker
set search_path = ''
as $$
begin
  return listener.own_balance();
end
$$;

revoke all on function public.credit_balance() from public, anon, authenticated, service_role;
grant execute on function public.credit_balance() to authenticated;
