-- listener.expire_workers(limit) -> setof uuid
-- Marks workers whose lease ran out, and returns them with those marked before that still hold sessions.
-- Marked, not deleted: a DELETE of a published row is seen by every subscriber.
-- Security definer: see tables/workers.sql.
-- Locks:  the workers' rows, skip locked, until the sweep commits.
create function listener.expire_workers(p_limit integer)
returns setof uuid
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  v_now timestamptz := listener.clock();
  v_lost uuid[];
begin
  v_lost := array(
    select worker.id
    from listener.workers as worker
    where
      worker.lease_expires_at <= v_now
      and (
        worker.expired_at is null
        or worker.id in (select session.worker from listener.sessions as session where session.status = 'processing')
      )
    order by worker.lease_expires_at
    limit p_limit
    for no key update skip locked
  );
  update listener.workers as worker
  set expired_at = v_now
  where worker.id = any(v_lost) and worker.expired_at is null;
  return query select lost.id from unnest(v_lost) as lost (id);
end
$$;

revoke all on function listener.expire_workers(integer) from public, anon, authenticated;
grant execute on function listener.expire_workers(integer) to service_role;
