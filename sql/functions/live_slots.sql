-- listener.live_slots(kind) -> numeric
-- The slots that live workers have for a kind: a worker of several kinds shares its slots among those that have a backlog.
create function listener.live_slots(p_kind text)
returns numeric
language sql stable security invoker
set search_path = ''
as $$
  select coalesce(sum(worker.slots::numeric / greatest(busy.kinds, 1)), 0)
  from listener.workers as worker
  cross join lateral (
    select count(*) as kinds
    from unnest(worker.kinds) as served (kind)
    where
      served.kind = p_kind
      or exists (select from listener.sessions as session where session.status = 'queued' and session.kind = served.kind)
  ) as busy
  where p_kind = any(worker.kinds) and worker.expired_at is null and worker.lease_expires_at > listener.clock()
$$;

revoke all on function listener.live_slots(text) from public, anon, authenticated, service_role;
