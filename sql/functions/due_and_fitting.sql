-- listener.due_and_fitting(kinds, limit, taken) -> setof uuid
-- The next due sessions in the order of due_sessions that the limits let run beside what runs and p_taken. It may give fewer than
-- there are, since one owner's rows can hide the next one's: ask again with what it gave until it gives nothing.
-- Locks:  sessions, skip locked; the caller keeps other claims away.
create function listener.due_and_fitting(p_kinds text[], p_limit integer, p_taken uuid[])
returns setof uuid
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_full uuid[] := listener.full_owners(p_taken);
begin
  return query
  with running as (
    select counted.owner, counted.kind, counted.sessions from listener.count_running(p_taken) as counted
  ),
  candidate as (
    select due.id, due.owner, due.rank, wanted.kind, wanted.ord
    from unnest(p_kinds) with ordinality as wanted (kind, ord)
    cross join lateral (
      select next.id, next.owner, row_number() over () as rank
      from (
        select session.id, session.owner
        from listener.sessions as session
        where
          session.status = 'queued'
          and session.kind = wanted.kind
          -- Wrapped: as plain conditions they make the planner expect one row and sort the backlog.
          and (select session.owner <> all(v_full) and session.id <> all(p_taken))
          and (
            select registry.broken_at is null
            from listener.session_tables as registry
            where registry.id = session.table_id
          )
        order by session.fair_tag, session.seq
        limit p_limit
        for no key update of session skip locked
      ) as next
    ) as due
  ),
  owned as (
    select
      candidate.id, candidate.rank, candidate.kind, candidate.ord, plan.running_at_once,
      coalesce((select sum(running.sessions) from running where running.owner = candidate.owner), 0)
      + row_number() over (partition by candidate.owner order by candidate.rank, candidate.ord) as nth_of_owner
    from candidate
    inner join listener.accounts as account on candidate.owner = account.owner
    inner join listener.plans as plan on account.plan = plan.plan
  ),
  fitting as (
    select
      owned.id, owned.rank, owned.ord, policy.running_at_once, stood.claimed_at,
      coalesce((select sum(running.sessions) from running where running.kind = owned.kind), 0)
      + row_number() over (partition by owned.kind order by owned.rank) as nth_of_kind
    from owned
    inner join listener.kinds as policy on owned.kind = policy.kind
    inner join listener.virtual_times as stood on owned.kind = stood.kind
    where owned.running_at_once is null or owned.nth_of_owner <= owned.running_at_once
  )
  select fitting.id
  from fitting
  where fitting.running_at_once is null or fitting.nth_of_kind <= fitting.running_at_once
  order by fitting.rank, fitting.claimed_at nulls first, fitting.ord
  limit p_limit;
end
$$;

revoke all on function listener.due_and_fitting(text[], integer, uuid[]) from public, anon, authenticated;
grant execute on function listener.due_and_fitting(text[], integer, uuid[]) to service_role;
