-- listener.lock_plans(owners)
-- Makes those who welcome accounts of a plan with a limit wait for each other, until the transaction ends.
-- Security definer: service_role may not write plans, and a row lock asks for that right.
-- Locks:  plans, ascending; no foreign key's check waits for it.
create function listener.lock_plans(p_owners uuid[])
returns void
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform from listener.plans as plan
  where
    plan.welcomes_per_hour is not null
    and plan.plan in (select account.plan from listener.accounts as account where account.owner = any(p_owners))
  order by plan.plan
  for no key update;
end
$$;

revoke all on function listener.lock_plans(uuid[]) from public, anon, authenticated;
grant execute on function listener.lock_plans(uuid[]) to service_role;
