-- listener.distinct_attempts(items) -> jsonb
-- The (session, attempt) pairs of items, each once: several artifacts of one attempt share one fence.
create function listener.distinct_attempts(p_items jsonb)
returns jsonb
language sql immutable security invoker
set search_path = ''
as $$
  select coalesce(jsonb_agg(distinct jsonb_build_object('session', item.session, 'attempt', item.attempt)), '[]')
  from jsonb_to_recordset(p_items) as item (session uuid, attempt integer)
$$;

revoke all on function listener.distinct_attempts(jsonb) from public, anon, authenticated;
grant execute on function listener.distinct_attempts(jsonb) to service_role;
