-- listener.count_running(also) -> (owner, kind, sessions)
-- How many sessions of each owner and kind run, those in p_also counted as running.
create function listener.count_running(p_also uuid[])
returns table (owner uuid, kind text, sessions bigint)
language sql volatile security invoker
set search_path = ''
as $$
  select held.owner, held.kind, count(*)
  from (
    select session.owner, session.kind from listener.sessions as session where session.status = 'processing'
    union all
    select session.owner, session.kind from listener.sessions as session
    where session.id = any(p_also) and session.status <> 'processing'
  ) as held
  group by held.owner, held.kind
$$;

revoke all on function listener.count_running(uuid[]) from public, anon, authenticated;
grant execute on function listener.count_running(uuid[]) to service_role;
