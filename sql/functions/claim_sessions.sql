-- public.claim_sessions(worker, claim_id, kinds, limit) -> (session, attempt, kind, owner, row_id, params, ...)
-- Starts attempts of up to `limit` due sessions of these kinds, in fair order. The same claim_id again gives the same rows, so a
-- call whose answer was lost can be repeated. Empty when nothing is due, or the worker is unknown or its lease has run out.
-- Units: time_limit_s is seconds. path_prefix: every attempt after the first writes to a path of its own.
-- Locks:  sessions and visible rows, skip locked; never waits for them.
create function public.claim_sessions(p_worker uuid, p_claim_id uuid, p_kinds text[], p_limit integer)
returns table (
  session uuid, attempt integer, kind text, owner uuid, row_id uuid, params jsonb, bucket text, path_prefix text,
  request_id text, traceparent text, time_limit_s integer, failures integer, max_attempts integer, created_at timestamptz
)
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_claimed uuid[];
begin
  perform pg_advisory_xact_lock(hashtextextended(p_claim_id::text, 0));
  v_claimed := array(
    select held.id
    from listener.sessions as held
    where held.worker = p_worker and held.claim_id = p_claim_id and held.status = 'processing'
    order by held.fair_tag, held.seq
  );
  if cardinality(v_claimed) = 0 then
    v_claimed := listener.take_due(p_worker, p_claim_id, p_kinds, least(greatest(p_limit, 0), 1000));
  end if;
  return query
  select
    held.id, held.attempt, held.kind, held.owner, held.row_id, held.params,
    coalesce(registry.bucket, policy.bucket),
    replace(registry.folder, '{owner}', held.owner::text) || '/' || held.row_id::text
      || case when held.attempt > 1 then '.' || held.attempt::text else '' end,
    held.request_id, held.traceparent, held.time_limit_s, held.failures, held.max_attempts, held.created_at
  from unnest(v_claimed) with ordinality as claimed (id, ordinal)
  inner join listener.sessions as held on claimed.id = held.id
  inner join listener.kinds as policy on held.kind = policy.kind
  inner join listener.session_tables as registry on held.table_id = registry.id
  order by claimed.ordinal;
end
$$;

revoke all on function public.claim_sessions(uuid, uuid, text[], integer) from public, anon, authenticated;
grant execute on function public.claim_sessions(uuid, uuid, text[], integer) to service_role;
