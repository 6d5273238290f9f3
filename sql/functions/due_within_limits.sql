-- listener.due_within_limits(kinds, limit) -> uuid[]
-- What due_sessions does, for projects that limit how many sessions of an owner or a kind run at once: what must wait is passed
-- over. Claims wait for each other here, lock before count: two that counted at once would both see the last free place.
-- Locks:  an advisory lock of its own, waits; then sessions, skip locked.
create function listener.due_within_limits(p_kinds text[], p_limit integer)
returns uuid[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_due uuid[] := '{}'::uuid[];
  v_more uuid[];
begin
  perform pg_advisory_xact_lock(hashtext('listener'), hashtext('running_at_once'));
  loop
    v_more := array(
      select fitting from listener.due_and_fitting(p_kinds, p_limit - cardinality(v_due), v_due) as fitting
    );
    v_due := v_due || v_more;
    exit when cardinality(v_more) = 0 or cardinality(v_due) >= p_limit;
  end loop;
  return v_due;
end
$$;

revoke all on function listener.due_within_limits(text[], integer) from public, anon, authenticated;
grant execute on function listener.due_within_limits(text[], integer) to service_role;
