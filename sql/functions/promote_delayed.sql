-- listener.promote_delayed(limit) -> integer
-- Makes delayed sessions claimable whose time has come. Their visible rows show queued before and after: nothing to project.
-- Locks:  sessions, skip locked.
create function listener.promote_delayed(p_limit integer)
returns integer
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_promoted integer;
begin
  with due as (
    select session.id
    from listener.sessions as session
    where session.status = 'delayed' and session.run_at <= (select listener.clock())
    order by session.run_at
    limit p_limit
    for no key update skip locked
  ),
  promoted as (
    update listener.sessions as session
    set status = 'queued', run_at = null
    from due
    where session.id = due.id
    returning session.id
  )
  select count(*) into v_promoted from promoted;
  return v_promoted;
end
$$;

revoke all on function listener.promote_delayed(integer) from public, anon, authenticated;
grant execute on function listener.promote_delayed(integer) to service_role;
