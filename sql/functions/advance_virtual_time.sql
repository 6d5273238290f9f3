-- listener.advance_virtual_time(sessions)
-- Moves the virtual time of the kinds that were just claimed: to the furthest start tag, and by a small drift in any case,
-- without which an owner who alone inserts at the front would hold it still for everybody else (measured: drift 0.05).
-- Last statement of the claim, because it makes claims of the same kind wait for each other until they commit.
-- Locks:  kinds, ascending.
create function listener.advance_virtual_time(p_sessions uuid[])
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  perform from listener.kinds as kind
  where kind.kind in (select session.kind from listener.sessions as session where session.id = any(p_sessions))
  order by kind.kind
  for no key update;

  update listener.kinds as kind
  set virtual_time = greatest(kind.virtual_time + 0.05 * claimed.work, claimed.furthest_tag)
  from (
    select session.kind, sum(session.work) as work, max(session.start_tag) as furthest_tag
    from listener.sessions as session
    where session.id = any(p_sessions)
    group by session.kind
  ) as claimed
  where kind.kind = claimed.kind;
end
$$;

revoke all on function listener.advance_virtual_time(uuid[]) from public, anon, authenticated;
grant execute on function listener.advance_virtual_time(uuid[]) to service_role;
