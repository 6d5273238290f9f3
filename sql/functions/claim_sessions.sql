-- public.claim_sessions(worker, claim_id, kinds, limit) -> (session, attempt, kind, owner, row_id, params, ...)
-- Starts attempts of up to `limit` due sessions of these kinds, in fair order. The same claim_id again gives the same rows, so a
-- call whose answer was lost can be repeated. Empty when nothing is due, or the worker is unknown or its lease has run out.
-- One statement starts the sessions, tells analytics so and answers: none of them is read again.
-- Units: time_limit_s is seconds. path_prefix: every attempt after the first writes to a path of its own.
-- Locks:  sessions and visible rows, skip locked; never waits for them; then virtual times.
create function public.claim_sessions(p_worker uuid, p_claim_id uuid, p_kinds text[], p_limit integer)
returns table (
  session uuid, attempt integer, kind text, owner uuid, row_id uuid, params jsonb, bucket text, path_prefix text,
  request_id text, traceparent text, time_limit_s integer, failures integer, max_attempts integer, created_at timestamptz
)
language plpgsql volatile security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
  v_terms record;
  v_due listener.due_session[];
begin
  perform pg_advisory_xact_lock(hashtextextended(p_claim_id::text, 0));
  v_terms := listener.claim_terms(p_worker, p_claim_id, p_kinds);
  if v_terms.is_repeated then
    return query select repeated.* from listener.repeat_claim(p_worker, p_claim_id) as repeated;
    return;
  elsif v_terms.beat is null then
    return;
  end if;
  v_due := listener.take_due(p_kinds, least(greatest(p_limit, 0), 1000), v_terms.is_limited, v_terms.now);
  if cardinality(v_due) = 0 then
    return;
  end if;

  return query
  with started as (
    update listener.sessions as session
    set
      status = 'processing', attempt = session.attempt + 1, worker = p_worker, claim_id = p_claim_id,
      claimed_beat = v_terms.beat, run_at = null, progress = 0, note = null, started_at = v_terms.now, updated_at = v_terms.now
    from unnest(v_due) with ordinality as due (session, table_id, row_id, kind, work, start_tag, fair_tag, seq, place)
    inner join listener.kinds as policy on due.kind = policy.kind
    inner join listener.session_tables as registry on due.table_id = registry.id
    where session.id = due.session
    returning
      session.id, session.attempt, session.kind, session.owner, session.row_id, session.params, session.request_id,
      session.traceparent, session.time_limit_s, session.failures, session.max_attempts, session.created_at, due.place,
      coalesce(registry.bucket, policy.bucket) as bucket, registry.folder, policy.records_events
  ),
  told as (
    insert into listener.events (session, event, occurrence, kind, owner, properties, at)
    select
      started.id, 'generation_started', started.attempt::text, started.kind, started.owner,
      jsonb_build_object('character_id', started.params ->> 'character_id', 'model', v_terms.models ->> started.kind),
      v_terms.now
    from started
    where started.records_events
  )
  select
    started.id, started.attempt, started.kind, started.owner, started.row_id, started.params, started.bucket,
    replace(
      replace(started.folder, '{owner}', started.owner::text),
      '{character}', translate(coalesce(started.params ->> 'character_id', 'none'), './\', '')
    ) || '/' || started.row_id::text || case when started.attempt > 1 then '.' || started.attempt::text else '' end,
    started.request_id, started.traceparent, started.time_limit_s, started.failures, started.max_attempts, started.created_at
  from started
  order by started.place;
  v_terms.beat := listener.advance_virtual_time(v_due, p_kinds);
end
$$;

revoke all on function public.claim_sessions(uuid, uuid, text[], integer) from public, anon, authenticated;
grant execute on function public.claim_sessions(uuid, uuid, text[], integer) to service_role;
