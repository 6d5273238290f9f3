-- listener.own_balance() -> integer
-- The caller's credits, with the welcome grant that his next session would bring.
-- Security definer: users never touch the private schema's tables.
create function listener.own_balance()
returns integer
language plpgsql stable security definer
set search_path = ''
as $$
declare
  v_balance integer;
  v_plan text;
  v_is_welcomed boolean;
begin
  select account.balance, account.plan, account.welcomed_at is not null into v_balance, v_plan, v_is_welcomed
  from listener.accounts as account
  where account.owner = (select auth.uid());

  if not coalesce(v_is_welcomed, false) and listener.welcomes_left(coalesce(v_plan, 'free')) > 0 then
    v_balance := coalesce(v_balance, 0) + (
      select plan.welcome_credits from listener.plans as plan where plan.plan = coalesce(v_plan, 'free')
    );
  end if;
  return coalesce(v_balance, 0);
end
$$;

revoke all on function listener.own_balance() from public, anon, authenticated;
grant execute on function listener.own_balance() to authenticated;
