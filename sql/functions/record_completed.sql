-- listener.record_completed(sessions)
-- Writes generation_completed of sessions that just completed, and pack_completed of packs; see record_events and record_started.
-- Security definer: see record_events.
create function listener.record_completed(p_sessions uuid[])
returns void
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  v_has_pack boolean;
begin
  with told as (
    insert into listener.events as event (session, event, kind, owner, properties, at)
    select
      session.id, 'generation_completed', session.kind, session.owner,
      jsonb_build_object(
        'character_id', session.params ->> 'character_id',
        'duration_ms', floor(1000 * extract(epoch from session.finished_at - session.started_at))::bigint
      ),
      session.finished_at
    from listener.sessions as session
    where
      session.id = any(p_sessions)
      and session.kind = any(array(select kind.kind from listener.kinds as kind where kind.records_events))
    returning event.kind
  )
  select bool_or(told.kind = 'pack') into v_has_pack from told;
  if v_has_pack then
    perform listener.record_events(p_sessions, 'pack_completed');
  end if;
end
$$;

revoke all on function listener.record_completed(uuid[]) from public, anon, authenticated;
grant execute on function listener.record_completed(uuid[]) to service_role;
