-- listener.delivery_payload(session, event) -> jsonb
-- What a partner is told of a finished session: {"type", "timestamp", "data"}. The state is the one that the visible row shows.
create function listener.delivery_payload(p_session uuid, p_event text)
returns jsonb
language sql stable security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'type', p_event,
    'timestamp', session.finished_at,
    'data', jsonb_build_object(
      'session_id', session.row_id, 'store_id', session.owner, 'kind', session.kind,
      'task_id', session.params -> 'task_id', 'request_id', session.request_id, 'status', state.status,
      'result', state.result, 'error_code', state.error_code, 'error_message', state.error_message,
      'created_at', session.created_at, 'started_at', state.started_at, 'finished_at', session.finished_at
    )
  )
  from listener.sessions as session
  inner join listener.visible_states as state on session.id = state.session
  where session.id = p_session
$$;

revoke all on function listener.delivery_payload(uuid, text) from public, anon, authenticated;
grant execute on function listener.delivery_payload(uuid, text) to service_role;
