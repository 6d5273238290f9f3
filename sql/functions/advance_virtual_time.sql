-- listener.advance_virtual_time(claimed, kinds)
-- Moves the virtual time of those kinds of which sessions were just claimed: to the furthest start tag, and by a small drift in
-- any case, without which an owner who alone inserts at the front would hold it still for everybody else (measured: drift 0.05).
-- claimed_at says whose turn it is among kinds; not by listener.clock(), since it only orders claims and must never stand still.
-- Last statement of the claim, because it makes claims of the same kind wait for each other until they commit.
-- Locks:  kinds, ascending.
create function listener.advance_virtual_time(p_claimed listener.due_session[], p_kinds text[])
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
begin
  if cardinality(p_kinds) > 1 then
    perform from listener.kinds as kind
    where kind.kind in (select due.kind from unnest(p_claimed) as due)
    order by kind.kind
    for no key update;
  end if;

  update listener.kinds as kind
  set
    virtual_time = greatest(kind.virtual_time + 0.05 * claimed.work, claimed.furthest_tag),
    claimed_at = v_now + claimed.last_place * interval '1 us'
  from (
    select due.kind, sum(due.work) as work, max(due.start_tag) as furthest_tag, max(due.place) as last_place
    from unnest(p_claimed) with ordinality as due (session, table_id, row_id, kind, work, start_tag, fair_tag, seq, place)
    group by due.kind
  ) as claimed
  where kind.kind = claimed.kind;
end
$$;

revoke all on function listener.advance_virtual_time(listener.due_session[], text[]) from public, anon, authenticated;
grant execute on function listener.advance_virtual_time(listener.due_session[], text[]) to service_role;
