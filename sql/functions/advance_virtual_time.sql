-- listener.advance_virtual_time(claimed)
-- Moves the virtual time of those kinds of which sessions were just claimed: to the furthest start tag, and by a small drift in
-- any case, without which an owner who alone inserts at the front would hold it still for everybody else (measured: drift 0.05).
-- claimed_at says whose turn it is among kinds; not by listener.clock(), since it only orders claims and must never stand still.
-- Last statement of the claim, because it makes claims of the same kind wait for each other until they commit.
-- Locks:  kinds, ascending.
create function listener.advance_virtual_time(p_claimed listener.due_session[])
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_claimed record;
begin
  for v_claimed in
    select due.kind, sum(due.work) as work, max(due.start_tag) as furthest_tag, max(due.place) as last_place
    from unnest(p_claimed) with ordinality as due (session, table_id, row_id, kind, work, start_tag, fair_tag, seq, place)
    group by due.kind
    order by due.kind
  loop
    update listener.kinds as kind
    set
      virtual_time = greatest(kind.virtual_time + 0.05 * v_claimed.work, v_claimed.furthest_tag),
      claimed_at = v_now + v_claimed.last_place * interval '1 us'
    where kind.kind = v_claimed.kind;
  end loop;
end
$$;

revoke all on function listener.advance_virtual_time(listener.due_session[]) from public, anon, authenticated;
grant execute on function listener.advance_virtual_time(listener.due_session[]) to service_role;
