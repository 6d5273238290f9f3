-- listener.visible_states
-- What each session's visible row shows: the source of listener.project, under our own column names.
-- Only artifacts of the current attempt are shown, and none once all credits went back.
create view listener.visible_states
with (security_invoker = true) as
select
  session.id as session,
  session.table_id,
  session.row_id,
  session.progress,
  session.finished_at,
  session.updated_at,
  case
    when session.status = 'completed' or saved.artifacts is not null
      then coalesce(session.result, '{}') || jsonb_build_object('artifacts', coalesce(saved.artifacts, '[]'))
  end as result,
  case session.status when 'delayed' then 'queued' else session.status end as status,
  case when session.status = 'processing' then session.note end as message,
  case when session.status = 'failed' then session.error_code end as error_code,
  case when session.status = 'failed' then session.error_message end as error_message,
  case when session.status = 'failed' then session.error_details end as error_details,
  case when session.status not in ('queued', 'delayed') then session.started_at end as started_at
from listener.sessions as session
left join lateral (
  select list.artifacts
  from listener.artifact_lists as list
  where list.session = session.id and list.attempt = session.attempt
) as saved on session.status in ('processing', 'completed') or (session.status = 'cancelled' and session.refund_due < session.cost);

revoke all on table listener.visible_states from public, anon, authenticated, service_role;
grant select on table listener.visible_states to service_role;
