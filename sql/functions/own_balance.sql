-- listener.own_balance() -> integer
-- The caller's credits: see balance_of.
-- Security definer: users never touch the private schema's tables.
create function listener.own_balance()
returns integer
language plpgsql stable security definer
set search_path = ''
as $$
begin
  return listener.balance_of((select auth.uid()));
end
$$;

revoke all on function listener.own_balance() from public, anon, authenticated;
grant execute on function listener.own_balance() to authenticated;
