-- listener.take_due(worker, claim_id, kinds, limit) -> uuid[]
-- Turns the next due sessions into attempts of the worker. Nothing for a worker that is unknown or whose lease has run out.
-- A session whose visible row somebody holds is left for the next claim: waiting here could deadlock. One whose row is gone
-- fails, and one whose table is broken stays queued.
-- Locks:  sessions and visible rows, both skip locked; then kinds.
create function listener.take_due(p_worker uuid, p_claim_id uuid, p_kinds text[], p_limit integer)
returns uuid[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_worker record := listener.live_worker(p_worker);
  v_now timestamptz := listener.clock();
  v_due listener.due_session[];
  v_taken uuid[];
begin
  if v_worker.beat is null then
    return '{}'::uuid[];
  end if;
  if
    exists (select from listener.plans as plan where plan.running_at_once is not null)
    or exists (select from listener.kinds as kind where kind.kind = any(p_kinds) and kind.running_at_once is not null)
  then
    v_due := listener.read_due(listener.due_within_limits(p_kinds, p_limit));
  else
    v_due := listener.due_sessions(p_kinds, p_limit);
  end if;
  if cardinality(v_due) = 0 then
    return '{}'::uuid[];
  end if;
  v_taken := listener.show_taken(v_due, v_now);
  if cardinality(v_taken) < cardinality(v_due) then
    perform listener.hold_rows(array(select due.session from unnest(v_due) as due where due.session <> all(v_taken)), true);
    v_due := array(select due from unnest(v_due) as due where due.session = any(v_taken));
  end if;
  v_taken := array(select due.session from unnest(v_due) as due);

  with started as (
    update listener.sessions as session
    set
      status = 'processing', attempt = session.attempt + 1, worker = p_worker, claim_id = p_claim_id,
      claimed_beat = v_worker.beat, run_at = null, progress = 0, note = null, started_at = v_now, updated_at = v_now
    where session.id = any(v_taken)
    returning session.id, session.attempt, session.kind, session.owner, session.params ->> 'character_id' as character_id
  )
  insert into listener.events (session, event, occurrence, kind, owner, properties, at)
  select
    started.id, 'generation_started', started.attempt::text, started.kind, started.owner,
    jsonb_build_object('character_id', started.character_id, 'model', v_worker.models ->> started.kind), v_now
  from started
  where started.kind = any(array(select kind.kind from listener.kinds as kind where kind.records_events));
  perform listener.advance_virtual_time(v_due);
  return v_taken;
end
$$;

revoke all on function listener.take_due(uuid, uuid, text[], integer) from public, anon, authenticated;
grant execute on function listener.take_due(uuid, uuid, text[], integer) to service_role;
