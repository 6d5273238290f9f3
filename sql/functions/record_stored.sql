-- listener.record_stored() trigger, after insert, for each statement, transition table new_artifacts
-- Writes image_stored for artifacts that are new; one that replaces another of its name is no new event.
create function listener.record_stored()
returns trigger
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  insert into listener.events (session, event, occurrence, kind, owner, properties, at)
  select
    session.id,
    'image_stored',
    artifact.attempt::text || '/' || artifact.name,
    session.kind,
    session.owner,
    jsonb_build_object('character_id', session.params ->> 'character_id', 'size_bytes', artifact.size_bytes),
    artifact.created_at
  from new_artifacts as artifact
  inner join listener.sessions as session on artifact.session = session.id
  where session.kind in (select kind.kind from listener.kinds as kind where kind.records_events);
  return null;
end
$$;

revoke all on function listener.record_stored() from public, anon, authenticated;
