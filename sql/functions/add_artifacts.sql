-- public.add_artifacts(worker, items) -> setof attempt_outcome
-- Records files that attempts have stored, and shows them at once; the same (session, attempt, name) again replaces it.
-- Items: [{"session", "attempt", "name", "bucket", "path", "thumbnail_path", "width", "height", "size_bytes", "content_type",
--         "url", "expires_at", "facts"}]; facts is an object, optional.
-- Locks:  visible rows, then sessions.
create function public.add_artifacts(p_worker uuid, p_items jsonb)
returns setof listener.attempt_outcome
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_outcomes listener.attempt_outcome[] := listener.fence(p_worker, listener.distinct_attempts(p_items), '{}');
  v_applied uuid[] := listener.applied(v_outcomes);
begin
  perform listener.save_artifacts(v_outcomes, p_items);
  update listener.sessions as session set updated_at = listener.clock() where session.id = any(v_applied);
  perform listener.project(v_applied);
  return query
  select item.session, item.attempt, outcome.outcome, outcome.code, outcome.cancel_requested
  from rows from (jsonb_to_recordset(p_items) as (session uuid, attempt integer)) with ordinality
    as item (session, attempt, ordinal)
  inner join unnest(v_outcomes) as outcome on item.session = outcome.session and item.attempt = outcome.attempt
  order by item.ordinal;
end
$$;

revoke all on function public.add_artifacts(uuid, jsonb) from public, anon, authenticated;
grant execute on function public.add_artifacts(uuid, jsonb) to service_role;
