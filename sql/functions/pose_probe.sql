-- listener.pose_probe(session, state)
-- Puts a probe's session into a state, with texts as long as they may become: started and running are processing before and
-- after the first progress.
create function listener.pose_probe(p_session uuid, p_state text)
returns void
language sql volatile security invoker
set search_path = ''
as $$
  update listener.sessions as session
  set
    status = pose.status,
    attempt = case when pose.status = 'processing' then 1 else session.attempt end,
    worker = case when pose.status = 'processing' then session.id end,
    claim_id = case when pose.status = 'processing' then session.id end,
    run_at = case when pose.status = 'delayed' then pose.now end,
    progress = case
      when pose.status = 'completed' then 100
      when p_state = 'running' then 37
      when p_state in ('queued', 'delayed', 'started') then 0
      else session.progress
    end,
    note = case when p_state = 'running' then repeat('n', 500) end,
    result = case when pose.status = 'completed' then '{"probe": true}'::jsonb end,
    error_code = case when pose.status = 'failed' then repeat('c', 200) end,
    error_message = case when pose.status = 'failed' then repeat('m', 2000) end,
    error_details = case when pose.status = 'failed' then listener.error_details('probe', null, pose.now) end,
    started_at = case when p_state = 'started' then pose.now else session.started_at end,
    finished_at = case when pose.status in ('completed', 'failed', 'cancelled') then pose.now end,
    updated_at = pose.now
  from (
    select case when p_state in ('started', 'running') then 'processing' else p_state end as status, listener.clock() as now
  ) as pose
  where session.id = p_session
$$;

revoke all on function listener.pose_probe(uuid, text) from public, anon, authenticated, service_role;
