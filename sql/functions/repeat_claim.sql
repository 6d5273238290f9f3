-- listener.repeat_claim(worker, claim_id) -> (session, attempt, kind, owner, row_id, params, ...)
-- What a claim answered, as far as it still runs: for claim_sessions, whose answer was lost.
create function listener.repeat_claim(p_worker uuid, p_claim_id uuid)
returns table (
  session uuid, attempt integer, kind text, owner uuid, row_id uuid, params jsonb, bucket text, path_prefix text,
  request_id text, traceparent text, time_limit_s integer, failures integer, max_attempts integer, created_at timestamptz
)
language sql stable security invoker
set search_path = ''
as $$
  select
    held.id, held.attempt, held.kind, held.owner, held.row_id, held.params,
    coalesce(registry.bucket, policy.bucket),
    replace(
      replace(registry.folder, '{owner}', held.owner::text),
      '{character}', translate(coalesce(held.params ->> 'character_id', 'none'), './\', '')
    ) || '/' || held.row_id::text || case when held.attempt > 1 then '.' || held.attempt::text else '' end,
    held.request_id, held.traceparent, held.time_limit_s, held.failures, held.max_attempts, held.created_at
  from listener.sessions as held
  inner join listener.kinds as policy on held.kind = policy.kind
  inner join listener.session_tables as registry on held.table_id = registry.id
  where held.worker = p_worker and held.claim_id = p_claim_id and held.status = 'processing'
  order by held.fair_tag, held.seq
$$;

revoke all on function listener.repeat_claim(uuid, uuid) from public, anon, authenticated;
grant execute on function listener.repeat_claim(uuid, uuid) to service_role;
