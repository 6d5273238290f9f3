-- listener.balance_of(owner) -> integer
-- An owner's credits, with the welcome grant that the next session would bring.
create function listener.balance_of(p_owner uuid)
returns integer
language plpgsql stable security invoker
set search_path = ''
as $$
declare
  v_balance integer;
  v_plan text;
  v_is_welcomed boolean;
begin
  select account.balance, account.plan, account.welcomed_at is not null into v_balance, v_plan, v_is_welcomed
  from listener.accounts as account
  where account.owner = p_owner;

  if not coalesce(v_is_welcomed, false) and listener.welcomes_left(coalesce(v_plan, 'free')) > 0 then
    v_balance := coalesce(v_balance, 0) + (
      select plan.welcome_credits from listener.plans as plan where plan.plan = coalesce(v_plan, 'free')
    );
  end if;
  return coalesce(v_balance, 0);
end
$$;

revoke all on function listener.balance_of(uuid) from public, anon, authenticated;
grant execute on function listener.balance_of(uuid) to service_role;
