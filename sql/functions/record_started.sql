-- listener.record_started(sessions)
-- Writes generation_started of sessions that were just claimed; see record_events. On its own because a claim waits for it: with
-- all events in one statement it took twice as long.
-- Security definer: see record_events.
create function listener.record_started(p_sessions uuid[])
returns void
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  insert into listener.events (session, event, occurrence, kind, owner, properties, at)
  select
    session.id, 'generation_started', session.attempt::text, session.kind, session.owner,
    jsonb_build_object(
      'character_id', session.params ->> 'character_id', 'model', worker.devices -> 'models' ->> session.kind
    ),
    session.started_at
  from listener.sessions as session
  left join listener.workers as worker on session.worker = worker.id
  where
    session.id = any(p_sessions)
    and session.kind = any(array(select kind.kind from listener.kinds as kind where kind.records_events));
end
$$;

revoke all on function listener.record_started(uuid[]) from public, anon, authenticated;
grant execute on function listener.record_started(uuid[]) to service_role;
