-- listener.refund_by_app(sessions) -> integer
-- Lets apps give back what they took themselves, once for each settled session; see pay_app_refunds. Returns the credits that
-- were not owed before.
-- Locks:  the new rows of app_refunds; then whatever the app's function locks, as the last of all locks.
create function listener.refund_by_app(p_sessions uuid[])
returns integer
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_owed uuid[];
  v_amount integer;
  v_now timestamptz := listener.clock();
begin
  if not exists (select from listener.sessions as session where session.id = any(p_sessions) and session.paid_by_app) then
    return 0;
  end if;
  with owed as (
    insert into listener.app_refunds as refund (session, row_id, on_refund, amount, created_at, call_at)
    select session.id, session.row_id, registry.on_refund, part.amount, v_now, v_now
    from listener.sessions as session
    inner join listener.session_tables as registry on session.table_id = registry.id
    cross join lateral (
      select case
        when session.status in ('failed', 'cancelled') then coalesce(session.refund_due, session.cost)
        when session.status = 'completed' then session.refund_due
      end as amount
    ) as part
    where session.id = any(p_sessions) and session.paid_by_app and part.amount > 0
    on conflict (session) do nothing
    returning refund.session, refund.amount
  )
  select array_agg(owed.session), coalesce(sum(owed.amount), 0) into v_owed, v_amount from owed;
  perform listener.pay_app_refunds(v_owed);
  return v_amount;
end
$$;

revoke all on function listener.refund_by_app(uuid[]) from public, anon, authenticated;
grant execute on function listener.refund_by_app(uuid[]) to service_role;
