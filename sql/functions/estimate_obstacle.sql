-- listener.estimate_obstacle(session, ahead) -> text
-- Why nobody can say how long the session will still take, before anything is measured; else null.
create function listener.estimate_obstacle(p_session listener.sessions, p_ahead integer)
returns text
language plpgsql stable security invoker
set search_path = ''
as $$
begin
  return case
    when p_session.finished_at is not null then 'finished'
    when p_session.status = 'delayed' then 'waiting_to_retry'
    when p_ahead > 1000 then 'queue_too_long'
    when p_session.status = 'processing' and not listener.live_worker(p_session.worker) then 'interrupted'
    when p_session.status <> 'queued' then null
    when (
      select registry.broken_at is not null from listener.session_tables as registry where registry.id = p_session.table_id
    ) then 'out_of_order'
    when (select policy.running_at_once = 0 from listener.kinds as policy where policy.kind = p_session.kind) then 'paused'
    when p_session.owner = any(listener.full_owners('{}'::uuid[])) then 'own_limit'
  end;
end
$$;

revoke all on function listener.estimate_obstacle(listener.sessions, integer) from public, anon, authenticated, service_role;
