-- listener.hold_rows(sessions, skip_locked) -> uuid[]
-- Locks the visible rows of sessions and returns the sessions that may be written now. An open session whose row is gone
-- without its delete trigger can be shown to nobody: it fails and is refunded here.
-- Locks:  visible rows; for those that are gone, sessions and accounts.
create function listener.hold_rows(p_sessions uuid[], p_skip_locked boolean)
returns uuid[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_present uuid[];
  v_gone uuid[];
begin
  select
    coalesce(array_agg(locked.session) filter (where not locked.is_gone), '{}'),
    coalesce(array_agg(locked.session) filter (where locked.is_gone), '{}')
  into v_present, v_gone
  from listener.lock_rows(p_sessions, p_skip_locked) as locked;
  if cardinality(v_gone) > 0 then
    v_gone := array(
      select session.id from listener.sessions as session
      where session.id = any(v_gone) and session.status in ('queued', 'delayed', 'processing')
      order by session.id
      for no key update
    );
    perform listener.fail_here(v_gone, 'row_missing', 'The row of this session no longer exists.');
  end if;
  return v_present;
end
$$;

revoke all on function listener.hold_rows(uuid[], boolean) from public, anon, authenticated;
grant execute on function listener.hold_rows(uuid[], boolean) to service_role;
