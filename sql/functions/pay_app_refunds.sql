-- listener.pay_app_refunds(sessions) -> integer
-- Calls the apps' functions with (row_id, amount), each in a subtransaction: one that raises, or runs into the statement timeout,
-- changes nothing else and is called again, after 10 s and then twice as long each time, up to an hour. After a timeout the others
-- are left to the next sweep. Returns how many went through. The name called comes from the registry, which only its owner writes.
-- Locks:  the rows of app_refunds, skip locked; then whatever the app's function locks.
create function listener.pay_app_refunds(p_sessions uuid[])
returns integer
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_owed record;
  v_error text;
  v_paid integer := 0;
  v_now timestamptz := listener.clock();
begin
  for v_owed in
    select refund.session, refund.row_id, refund.amount, refund.on_refund,
      quote_ident(namespace.nspname) || '.' || quote_ident(routine.proname) as function
    from listener.app_refunds as refund
    left join pg_catalog.pg_proc as routine on to_regprocedure(refund.on_refund) = routine.oid
    left join pg_catalog.pg_namespace as namespace on routine.pronamespace = namespace.oid
    where refund.session = any(p_sessions) and refund.paid_at is null
    order by refund.session
    for no key update of refund skip locked
  loop
    v_error := null;
    begin
      if v_owed.function is null then
        raise exception 'there is no function %', v_owed.on_refund;
      end if;
      execute format('select %s($1, $2)', v_owed.function) using v_owed.row_id, v_owed.amount;
    exception when others or query_canceled then
      v_error := left(sqlstate || ' ' || sqlerrm, 500);
      raise warning 'refund of % by %: %', v_owed.row_id, v_owed.on_refund, v_error;
    end;
    v_paid := v_paid + (v_error is null)::integer;
    update listener.app_refunds as refund
    set
      calls = refund.calls + 1,
      error = v_error,
      paid_at = case when v_error is null then v_now end,
      call_at = v_now + make_interval(secs => least(10 * 2 ^ least(refund.calls, 10), 3600))
    where refund.session = v_owed.session;
    -- The time limit of a statement strikes once: nothing would end the next call that hangs.
    exit when v_error like '57014%';
  end loop;
  return v_paid;
end
$$;

revoke all on function listener.pay_app_refunds(uuid[]) from public, anon, authenticated;
grant execute on function listener.pay_app_refunds(uuid[]) to service_role;
