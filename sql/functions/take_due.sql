-- listener.take_due(worker, claim_id, kinds, limit) -> uuid[]
-- Turns the next due sessions into attempts of the worker. Nothing for a worker that is unknown or whose lease has run out.
-- A session whose visible row somebody holds is left for the next claim: waiting here could deadlock.
-- Locks:  sessions and visible rows, both skip locked; then kinds.
create function listener.take_due(p_worker uuid, p_claim_id uuid, p_kinds text[], p_limit integer)
returns uuid[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_beat bigint := listener.live_beat(p_worker);
  v_due uuid[];
  v_taken uuid[];
  v_hidden uuid[];
begin
  if v_beat is null then
    return '{}'::uuid[];
  end if;
  if
    exists (select from listener.plans as plan where plan.running_at_once is not null)
    or exists (select from listener.kinds as kind where kind.kind = any(p_kinds) and kind.running_at_once is not null)
  then
    v_due := listener.due_within_limits(p_kinds, p_limit);
  else
    v_due := array(select due from listener.due_sessions(p_kinds, p_limit) as due);
  end if;
  if cardinality(v_due) = 0 then
    return '{}'::uuid[];
  end if;
  v_taken := listener.hold_rows(v_due, true);

  update listener.sessions as session
  set
    status = 'processing', attempt = session.attempt + 1, worker = p_worker, claim_id = p_claim_id,
    claimed_beat = v_beat, run_at = null, progress = 0, note = null, started_at = stamp.clock, updated_at = stamp.clock
  from (select listener.clock() as clock) as stamp
  where session.id = any(v_taken);

  v_hidden := listener.project(v_taken);
  if cardinality(v_hidden) > 0 then
    update listener.sessions as session
    set status = 'queued', worker = null, claim_id = null
    where session.id = any(v_hidden);
  end if;
  v_taken := array(
    select due.session
    from unnest(v_due) with ordinality as due (session, ordinal)
    where due.session = any(v_taken) and not due.session = any(v_hidden)
    order by due.ordinal
  );
  perform listener.record_events(v_taken, 'generation_started');
  perform listener.advance_virtual_time(v_taken);
  return v_taken;
end
$$;

revoke all on function listener.take_due(uuid, uuid, text[], integer) from public, anon, authenticated;
grant execute on function listener.take_due(uuid, uuid, text[], integer) to service_role;
