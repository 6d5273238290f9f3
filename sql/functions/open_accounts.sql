-- listener.open_accounts(owners)
-- Makes sure that each owner has an account, with the welcome grant of its plan, and locks them all until the transaction ends.
-- Locks:  accounts, ascending owner; for no key update: see refund.
create function listener.open_accounts(p_owners uuid[])
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  with opened as (
    insert into listener.accounts as account (owner, balance, created_at)
    select owner_id, plan.welcome_credits, listener.clock()
    from (select distinct unnest(p_owners) as owner_id) as given
    inner join listener.plans as plan on plan.plan = 'free'
    order by owner_id
    on conflict (owner) do nothing
    returning account.owner, account.balance
  )
  insert into listener.ledger (key, entry, owner, amount, reason, created_at)
  select 'welcome:' || opened.owner::text, 'grant', opened.owner, opened.balance, 'welcome', listener.clock()
  from opened
  where opened.balance > 0;

  perform from listener.accounts as account
  where account.owner = any(p_owners)
  order by account.owner
  for no key update;
end
$$;

revoke all on function listener.open_accounts(uuid[]) from public, anon, authenticated;
grant execute on function listener.open_accounts(uuid[]) to service_role;
