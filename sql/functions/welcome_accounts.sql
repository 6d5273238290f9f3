-- listener.welcome_accounts(owners)
-- Gives the welcome grant of their plan to accounts that have not had it. Beyond the plan's welcomes_per_hour an account gets none
-- now; its next paid insert asks again. So somebody who opens accounts by the hundred cannot draw credits without end.
-- Locks:  plans with such a limit, lock before count; the caller has locked the accounts.
create function listener.welcome_accounts(p_owners uuid[])
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := listener.clock();
  v_guests uuid[];
begin
  v_guests := array(
    select account.owner
    from listener.accounts as account
    inner join listener.plans as plan on account.plan = plan.plan
    where account.owner = any(p_owners) and account.welcomed_at is null and plan.welcome_credits > 0
  );
  if cardinality(v_guests) = 0 then
    return;
  end if;
  perform listener.lock_plans(v_guests);

  with guest as (
    select
      account.owner, plan.welcome_credits, listener.welcomes_left(plan.plan) as places,
      row_number() over (partition by plan.plan order by account.owner) as nth
    from listener.accounts as account
    inner join listener.plans as plan on account.plan = plan.plan
    where account.owner = any(v_guests)
  ),
  welcomed as (
    update listener.accounts as account
    set balance = account.balance + guest.welcome_credits, welcomed_at = v_now
    from guest
    where account.owner = guest.owner and guest.nth <= guest.places
    returning account.owner, guest.welcome_credits
  )
  insert into listener.ledger (key, entry, owner, amount, reason, created_at)
  select 'welcome:' || welcomed.owner::text, 'grant', welcomed.owner, welcomed.welcome_credits, 'welcome', v_now
  from welcomed;
end
$$;

revoke all on function listener.welcome_accounts(uuid[]) from public, anon, authenticated;
grant execute on function listener.welcome_accounts(uuid[]) to service_role;
