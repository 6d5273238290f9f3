-- listener.prune_finished(limit) -> integer
-- Removes what nobody needs any more: events of kinds with keep_events_days; workers that expired a week ago; what prune_partners
-- and prune_sessions remove. Visible rows and the ledger stay. Answers how many sessions went.
-- Security definer: nobody else may delete from these tables.
-- Locks:  sessions, skip locked.
create function listener.prune_finished(p_limit integer)
returns integer
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  v_now timestamptz := listener.clock();
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

  return listener.prune_sessions(p_limit);
end
$$;

revoke all on function listener.prune_finished(integer) from public, anon, authenticated;
grant execute on function listener.prune_finished(integer) to service_role;
