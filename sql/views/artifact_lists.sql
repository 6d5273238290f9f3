-- listener.artifact_lists
-- The artifacts of each attempt as the visible row's result shows them, in the order in which they were saved; facts where there are any.
create view listener.artifact_lists
with (security_invoker = true) as
select
  artifact.session,
  artifact.attempt,
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
    ) || case when artifact.facts = '{}' then '{}' else jsonb_build_object('facts', artifact.facts) end
    order by artifact.created_at, artifact.name
  ) as artifacts
from listener.artifacts as artifact
group by artifact.session, artifact.attempt;

revoke all on table listener.artifact_lists from public, anon, authenticated, service_role;
grant select on table listener.artifact_lists to service_role;
