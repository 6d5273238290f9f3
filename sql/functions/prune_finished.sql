-- listener.prune_finished(limit) -> integer
-- Removes what nobody needs any more: finished sessions of kinds with keep_days, once their artifacts are gone (their paths tell
-- the expiry which objects to remove) and their partners told; events of kinds with keep_events_days; workers that
-- expired a week ago; what prune_partners removes. Visible rows and the ledger stay. Answers how many sessions went.
-- Security definer: nobody else may delete from these tables.
-- Locks:  sessions, skip locked.
create function listener.prune_finished(p_limit integer)
returns integer
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  v_now timestamptz := listener.clock();
  v_pruned integer;
begin
  perform listener.prune_partners(p_limit);
  delete from listener.workers as worker where worker.expired_at < v_now - interval '7 days';

  delete from listener.events as event
  where event.ctid = any(array(
    select old.ctid
    from listener.kinds as policy
    cross join lateral (
      select told.ctid
      from listener.events as told
      where told.kind = policy.kind and told.at < v_now - make_interval(days => policy.keep_events_days)
      limit p_limit
      for update skip locked
    ) as old
    where policy.keep_events_days is not null
  ));

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
  ));
  get diagnostics v_pruned = row_count;
  return v_pruned;
end
$$;

revoke all on function listener.prune_finished(integer) from public, anon, authenticated;
grant execute on function listener.prune_finished(integer) to service_role;
