-- listener.limited_demand() -> integer
-- Sessions that run, or wait and are due as far as the limits of plans and kinds would let them run beside the others.
create function listener.limited_demand()
returns integer
language sql volatile security invoker
set search_path = ''
as $$
  with open as (
    select
      session.owner, session.kind,
      count(*) filter (where session.status = 'processing') as running,
      count(*) filter (where session.status <> 'processing') as waiting
    from listener.sessions as session
    where
      session.status in ('queued', 'processing')
      or (session.status = 'delayed' and session.run_at <= (select listener.clock()))
    group by session.owner, session.kind
  ),
  owned as (
    select
      open.kind, open.running, open.waiting, plan.running_at_once,
      plan.running_at_once - sum(open.running) over (partition by open.owner)
      - coalesce(
        sum(open.waiting) over (partition by open.owner order by open.kind rows between unbounded preceding and 1 preceding), 0
      ) as places
    from open
    inner join listener.accounts as account on open.owner = account.owner
    inner join listener.plans as plan on account.plan = plan.plan
  ),
  wanted as (
    select
      owned.kind, sum(owned.running) as running,
      sum(case when owned.running_at_once is null then owned.waiting else least(owned.waiting, greatest(owned.places, 0)) end)
        as waiting
    from owned
    group by owned.kind
  )
  select coalesce(sum(
    wanted.running + case
      when policy.running_at_once is null then wanted.waiting
      else least(wanted.waiting, greatest(policy.running_at_once - wanted.running, 0))
    end
  ), 0)::integer
  from wanted
  inner join listener.kinds as policy on wanted.kind = policy.kind
$$;

revoke all on function listener.limited_demand() from public, anon, authenticated;
grant execute on function listener.limited_demand() to service_role;
