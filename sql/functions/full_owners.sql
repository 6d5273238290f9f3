-- listener.full_owners(also) -> uuid[]
-- Owners of whom as many sessions run as their plan allows at once, those in p_also counted as running.
create function listener.full_owners(p_also uuid[])
returns uuid[]
language sql volatile security invoker
set search_path = ''
as $$
  select array(
    select account.owner
    from listener.count_running(p_also) as running
    inner join listener.accounts as account on running.owner = account.owner
    inner join listener.plans as plan on account.plan = plan.plan
    where plan.running_at_once is not null
    group by account.owner, plan.running_at_once
    having sum(running.sessions) >= plan.running_at_once
  )
$$;

revoke all on function listener.full_owners(uuid[]) from public, anon, authenticated;
grant execute on function listener.full_owners(uuid[]) to service_role;
