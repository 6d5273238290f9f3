-- listener.prune_sessions(limit) -> integer
-- Removes finished sessions of kinds with keep_days, once their artifacts are gone (their paths tell the expiry which objects to
-- remove) and their partners told; what they had cost is added up before. Answers how many went.
-- Security definer: nobody else may delete from this table.
-- Locks:  sessions, skip locked.
create function listener.prune_sessions(p_limit integer)
returns integer
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  v_now timestamptz := listener.clock();
  v_pruned integer;
begin
  with gone as (
    delete from listener.sessions as session
    where session.id = any(array(
      select old.id
      from listener.kinds as policy
      cross join lateral (
        select done.id
        from listener.sessions as done
        where
          done.kind = policy.kind and done.finished_at < v_now - make_interval(days => policy.keep_days)
          and not exists (select from listener.artifacts as artifact where artifact.session = done.id)
          and not exists (select from listener.deliveries as told where told.session = done.id and told.ended_at is null)
        order by done.finished_at
        limit p_limit
        for update skip locked
      ) as old
      where policy.keep_days is not null
    ))
    returning session.kind, session.owner, (session.finished_at at time zone 'utc')::date as day, session.device_s, session.cost_usd
  ),
  added as (
    insert into listener.pruned_costs as known (day, kind, owner, sessions, device_s, cost_usd)
    select gone.day, gone.kind, gone.owner, count(*), sum(gone.device_s), sum(gone.cost_usd)
    from gone
    group by gone.day, gone.kind, gone.owner
    order by gone.day, gone.kind, gone.owner
    on conflict (day, kind, owner) do update set
      sessions = known.sessions + excluded.sessions,
      device_s = coalesce(known.device_s + excluded.device_s, known.device_s, excluded.device_s),
      cost_usd = coalesce(known.cost_usd + excluded.cost_usd, known.cost_usd, excluded.cost_usd)
  )
  select count(*) into v_pruned from gone;
  return v_pruned;
end
$$;

revoke all on function listener.prune_sessions(integer) from public, anon, authenticated;
grant execute on function listener.prune_sessions(integer) to service_role;
