-- listener.pay_owed_refunds(limit) -> integer
-- Calls again for the refunds that apps still owe; returns how many went through.
-- Locks:  the rows of app_refunds, skip locked.
create function listener.pay_owed_refunds(p_limit integer)
returns integer
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  return listener.pay_app_refunds(array(
    select refund.session
    from listener.app_refunds as refund
    where refund.paid_at is null and refund.call_at <= (select listener.clock())
    order by refund.call_at
    limit p_limit
  ));
end
$$;

revoke all on function listener.pay_owed_refunds(integer) from public, anon, authenticated;
grant execute on function listener.pay_owed_refunds(integer) to service_role;
