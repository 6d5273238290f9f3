-- listener.own_balance() -> integer
-- The caller's credits; before his first session, what the welcome grant will be.
-- Security definer: users never touch the private schema's tables.
create function listener.own_balance()
returns integer
language sql stable security definer
set search_path = ''
as $$
  select coalesce(
    (select account.balance from listener.accounts as account where account.owner = (select auth.uid())),
    (select plan.welcome_credits from listener.plans as plan where plan.plan = 'free'),
    0
  )
$$;

revoke all on function listener.own_balance() from public, anon, authenticated;
grant execute on function listener.own_balance() to authenticated;
