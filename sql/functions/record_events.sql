-- listener.record_events(sessions, event)
-- Writes an event of each session: generation_queued, generation_failed of those that failed, pack_completed of packs.
-- generation_started and generation_completed are written by claim_sessions and write_completed in the statements that they tell of.
-- Called where a session is registered, fails and is settled, by that transaction: a second time would break the key. One call
-- for all sessions, not a trigger: those cost half as much again for a statement, and twice as much for a row.
create function listener.record_events(p_sessions uuid[], p_event text)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  insert into listener.events (session, event, occurrence, kind, owner, properties, at)
  select
    session.id,
    p_event,
    '',
    session.kind,
    session.owner,
    case p_event
      when 'generation_queued' then jsonb_build_object(
        'character_id', session.params ->> 'character_id',
        'image_count',
        case when session.params ->> 'image_count' ~ '^[0-9]{1,6}$' then (session.params ->> 'image_count')::integer else 1 end
      )
      when 'generation_failed' then jsonb_build_object(
        'character_id', session.params ->> 'character_id', 'error_type', session.error_code
      )
      when 'pack_completed' then jsonb_build_object(
        'character_id', session.params ->> 'character_id',
        'image_count', (
          select count(*) from listener.artifacts as artifact
          where artifact.session = session.id and artifact.attempt = session.attempt and artifact.content_type like 'image/%'
        ),
        'total_duration_ms', floor(1000 * extract(epoch from session.finished_at - session.created_at))::bigint
      )
    end,
    coalesce(session.finished_at, session.started_at, session.created_at)
  from listener.sessions as session
  where
    session.id = any(p_sessions)
    and session.kind in (select kind.kind from listener.kinds as kind where kind.records_events)
    and (p_event <> 'generation_failed' or session.status = 'failed')
    and (p_event <> 'pack_completed' or session.kind = 'pack');
end
$$;

revoke all on function listener.record_events(uuid[], text) from public, anon, authenticated;
grant execute on function listener.record_events(uuid[], text) to service_role;
