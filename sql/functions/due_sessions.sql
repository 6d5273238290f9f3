-- listener.due_sessions(kinds, limit) -> setof uuid
-- Locks the next sessions of each kind in fair order and merges the kinds by rank, since tags of two kinds do not compare.
-- One index scan per kind, whatever the backlog: ordering over `kind = any(...)` would sort it all, and a condition on
-- broken tables as `table_id <> all(...)` makes the planner expect one row and sort it all, too.
-- Locks:  sessions, skip locked; never waits.
create function listener.due_sessions(p_kinds text[], p_limit integer)
returns setof uuid
language sql volatile security invoker
set search_path = ''
as $$
  select due.id
  from unnest(p_kinds) with ordinality as wanted (kind, ord)
  cross join lateral (
    select next.id, row_number() over () as rank
    from (
      select session.id
      from listener.sessions as session
      where
        session.status = 'queued'
        and session.kind = wanted.kind
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
  order by due.rank, wanted.ord
  limit p_limit
$$;

revoke all on function listener.due_sessions(text[], integer) from public, anon, authenticated;
grant execute on function listener.due_sessions(text[], integer) to service_role;
