-- listener.estimate(session, ahead) -> jsonb
-- How long a session will still take, {"estimate_s", "estimate_basis", "reason"}: from the mean of the kind's last 50 completed
-- sessions of the last day and the slots of live workers. See queue_status_of for the reasons why there is none.
-- Units: estimate_basis is {"sessions", "mean_s", "slots"}; seconds.
create function listener.estimate(p_session listener.sessions, p_ahead integer)
returns jsonb
language plpgsql stable security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := listener.clock();
  v_basis record;
  v_slots numeric;
  v_running integer;
  v_estimate_s numeric;
  v_reason text := listener.estimate_obstacle(p_session, p_ahead);
begin
  if v_reason is not null then
    return jsonb_build_object('estimate_s', null, 'estimate_basis', null, 'reason', v_reason);
  end if;
  select count(*) as sessions, avg(recent.duration_s) as mean_s into v_basis
  from (
    select extract(epoch from done.finished_at - done.started_at) as duration_s
    from listener.sessions as done
    where done.status = 'completed' and done.kind = p_session.kind and done.finished_at > v_now - interval '1 day'
    order by done.finished_at desc
    limit 50
  ) as recent;

  select count(*), least(policy.running_at_once, listener.live_slots(p_session.kind)) into v_running, v_slots
  from listener.kinds as policy
  left join listener.sessions as session on policy.kind = session.kind and session.status = 'processing'
  where policy.kind = p_session.kind
  group by policy.kind;

  if p_session.status = 'processing' then
    v_estimate_s := v_basis.mean_s - extract(epoch from v_now - p_session.started_at);
    v_reason := case when v_basis.sessions = 0 then 'no_measurements' when v_estimate_s <= 0 then 'longer_than_usual' end;
  elsif v_slots > 0 then
    v_estimate_s := v_basis.mean_s * (1 + greatest(p_ahead + v_running + 1 - v_slots, 0) / v_slots);
    v_reason := case when v_basis.sessions = 0 then 'no_measurements' end;
  else
    v_reason := 'no_worker';
  end if;
  return jsonb_build_object(
    'estimate_s', case when v_reason is null then ceil(v_estimate_s)::integer end,
    'estimate_basis', case
      when v_reason is null
        then jsonb_build_object('sessions', v_basis.sessions, 'mean_s', round(v_basis.mean_s, 1), 'slots', round(v_slots, 1))
    end,
    'reason', v_reason
  );
end
$$;

revoke all on function listener.estimate(listener.sessions, integer) from public, anon, authenticated, service_role;
