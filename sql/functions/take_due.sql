-- listener.take_due(kinds, limit, is_limited, now) -> due_session[]
-- Locks the next due sessions and shows them as processing: those that the claim may start.
-- A session whose visible row somebody holds is left for the next claim: waiting here could deadlock. One whose row is gone
-- fails, and one whose table is broken stays queued.
-- Locks:  sessions and visible rows, both skip locked.
create function listener.take_due(p_kinds text[], p_limit integer, p_is_limited boolean, p_now timestamptz)
returns listener.due_session[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_due listener.due_session[];
  v_shown uuid[];
begin
  if p_is_limited then
    v_due := listener.read_due(listener.due_within_limits(p_kinds, p_limit));
  elsif cardinality(p_kinds) = 1 then
    v_due := listener.due_of_kind(p_kinds[1], p_limit);
  else
    v_due := listener.due_sessions(p_kinds, p_limit);
  end if;
  if cardinality(v_due) = 0 then
    return v_due;
  end if;
  v_shown := listener.show_taken(v_due, p_now);
  if cardinality(v_shown) < cardinality(v_due) then
    perform listener.hold_rows(array(select due.session from unnest(v_due) as due where due.session <> all(v_shown)), true);
    v_due := array(select due from unnest(v_due) as due where due.session = any(v_shown));
  end if;
  return v_due;
end
$$;

revoke all on function listener.take_due(text[], integer, boolean, timestamptz) from public, anon, authenticated;
grant execute on function listener.take_due(text[], integer, boolean, timestamptz) to service_role;
