-- listener.advance_virtual_time(claimed, kinds) -> integer
-- Moves the virtual time of those kinds of which sessions were just claimed: to the furthest start tag, and by a small drift in
-- any case, without which an owner who alone inserts at the front would hold it still for everybody else (measured: drift 0.05).
-- claimed_at says whose turn it is among kinds; not by listener.clock(), since it only orders claims and must never stand still.
-- Last statement of the claim, because it makes claims of the same kind wait for each other until they commit.
-- Locks:  virtual times, ascending by kind.
create function listener.advance_virtual_time(p_claimed listener.due_session[], p_kinds text[])
returns integer
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
begin
  if cardinality(p_kinds) > 1 then
    perform from listener.virtual_times as stood
    where stood.kind = any(array(select due.kind from unnest(p_claimed) as due))
    order by stood.kind
    for no key update;
  end if;
  update listener.virtual_times as stood
  set
    virtual_time = greatest(stood.virtual_time + 0.05 * claimed.work, claimed.furthest_tag),
    claimed_at = v_now + claimed.last_place * interval '1 us'
  from (
    select due.kind, sum(due.work) as work, max(due.start_tag) as furthest_tag, max(due.place) as last_place
    from unnest(p_claimed) with ordinality as due (session, table_id, row_id, kind, work, start_tag, fair_tag, seq, place)
    group by due.kind
  ) as claimed
  where stood.kind = claimed.kind;
  return cardinality(p_claimed);
end
$$;

revoke all on function listener.advance_virtual_time(listener.due_session[], text[]) from public, anon, authenticated;
grant execute on function listener.advance_virtual_time(listener.due_session[], text[]) to service_role;
