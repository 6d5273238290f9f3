-- listener.visible_states
-- What each session's visible row shows: the source of listener.project, under our own column names.
-- Only artifacts of the current attempt are shown, and none once the credits went back.
create view listener.visible_states
with (security_invoker = true) as
select
  session.id as session,
  session.table_id,
  session.row_id,
  session.progress,
  session.finished_at,
  session.updated_at,
  saved.result,
  case session.status when 'delayed' then 'queued' else session.status end as status,
  case when session.status = 'processing' then session.note end as message,
  case when session.status = 'failed' then session.error_code end as error_code,
  case when session.status = 'failed' then session.error_message end as error_message,
  case when session.status = 'failed' then session.error_details end as error_details,
  case when session.status not in ('queued', 'delayed') then session.started_at end as started_at
from listener.sessions as session
left join lateral (
  select
    case
      when session.status = 'completed' or count(*) > 0
        then coalesce(session.result, '{}') || jsonb_build_object(
          'artifacts',
          coalesce(
            jsonb_agg(
              jsonb_build_object(
                'name', artifact.name,
                'bucket', artifact.bucket,
                'path', artifact.path,
                'thumbnail_path', artifact.thumbnail_path,
                'url', artifact.url,
                'width', artifact.width,
                'height', artifact.height,
                'size_bytes', artifact.size_bytes,
                'content_type', artifact.content_type,
                'expires_at', artifact.expires_at
              )
              order by artifact.created_at, artifact.name
            ) filter (where artifact.name is not null),
            '[]'
          )
        )
    end as result
  from listener.artifacts as artifact
  where artifact.session = session.id and artifact.attempt = session.attempt
) as saved on session.status in ('processing', 'completed');

revoke all on table listener.visible_states from public, anon, authenticated, service_role;
grant select on table listener.visible_states to service_role;
