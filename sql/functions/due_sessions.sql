-- listener.due_sessions(kinds, limit) -> due_session[]
-- Locks the next sessions of each kind in fair order and merges the kinds by rank, since tags of two kinds do not compare; the
-- kind that was claimed last comes last, else a worker with one free slot would take the first kind for ever.
-- Locks:  sessions, skip locked; never waits.
create function listener.due_sessions(p_kinds text[], p_limit integer)
returns listener.due_session[]
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  if cardinality(p_kinds) = 1 then
    return listener.due_of_kind(p_kinds[1], p_limit);
  end if;
  return array(
    select
      row(due.session, due.table_id, due.row_id, due.kind, due.work, due.start_tag, due.fair_tag, due.seq)::listener.due_session
    from unnest(p_kinds) with ordinality as wanted (kind, ord)
    cross join lateral unnest(listener.due_of_kind(wanted.kind, p_limit))
      with ordinality as due (session, table_id, row_id, kind, work, start_tag, fair_tag, seq, rank)
    left join listener.virtual_times as stood on wanted.kind = stood.kind
    order by due.rank, stood.claimed_at nulls first, wanted.ord
    limit p_limit
  );
end
$$;

revoke all on function listener.due_sessions(text[], integer) from public, anon, authenticated;
grant execute on function listener.due_sessions(text[], integer) to service_role;
