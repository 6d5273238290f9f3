-- public.sweep_sessions(limit) -> jsonb
-- The periodic safety net; any number may run at once. Rescues the sessions of workers whose lease ran out, fails what is past
-- its time limit, promotes due retries, calls again for refunds that apps owe, removes what is kept no longer. Answers {"rescued",
-- "failed", "promoted", "expired_workers", "app_refunds", "pruned"}.
-- Locks:  workers, visible rows, sessions, skip locked; then accounts ascending.
create function public.sweep_sessions(p_limit integer default 100)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_limit integer := least(greatest(coalesce(p_limit, 100), 1), 1000);
  v_expired uuid[] := array(select expired from listener.expire_workers(v_limit) as expired);
  v_rescued uuid[] := listener.rescue_sessions(v_expired, v_limit);
  v_overdue uuid[] := listener.stop_overdue(v_limit);
  v_failed integer;
begin
  select count(*) into v_failed
  from listener.sessions as session
  where session.id = any(v_rescued || v_overdue) and session.status = 'failed';
  return jsonb_build_object(
    'rescued', cardinality(v_rescued) + cardinality(v_overdue) - v_failed,
    'failed', v_failed,
    'promoted', listener.promote_delayed(v_limit),
    'expired_workers', cardinality(v_expired),
    'app_refunds', listener.pay_owed_refunds(v_limit),
    'pruned', listener.prune_finished(v_limit)
  );
end
$$;

revoke all on function public.sweep_sessions(integer) from public, anon, authenticated;
grant execute on function public.sweep_sessions(integer) to service_role;
