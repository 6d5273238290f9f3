-- listener.due_artifacts
-- Artifacts that nobody has any claim to from due_at on, and why: their row was deleted; nobody is shown them, as they are of an
-- attempt that did not settle or all credits went back; their kind's keep_days or their bucket's keep_hours are over. Not while
-- their table is broken: its rows may still show them; and not of a table that was left, whose rows do. No clock in here: a
-- volatile function would have all of them read.
create view listener.due_artifacts
with (security_invoker = true) as
with judged as (
  select
    artifact.session,
    artifact.attempt,
    artifact.name,
    artifact.bucket,
    artifact.path,
    artifact.thumbnail_path,
    artifact.size_bytes,
    artifact.discarded_at,
    artifact.created_at as saved_at,
    session.kind,
    session.finished_at,
    case
      when artifact.discarded_at is not null then 'row_deleted'
      when artifact.attempt <> session.attempt or session.status = 'failed' then 'not_delivered'
      when session.status = 'cancelled' and (session.refund_due < session.cost) is not true then 'not_delivered'
      when coalesce(policy.keep_days, kept.keep_hours) is not null then 'kept_long_enough'
    end as reason,
    session.finished_at
    + least(make_interval(days => policy.keep_days), make_interval(secs => 3600 * kept.keep_hours)) as kept_until
  from listener.artifacts as artifact
  inner join listener.sessions as session on artifact.session = session.id
  inner join listener.session_tables as registry on session.table_id = registry.id
  inner join listener.kinds as policy on session.kind = policy.kind
  left join listener.retentions as kept on artifact.bucket = kept.bucket
  where session.finished_at is not null and registry.broken_at is null
)

select
  judged.*,
  case judged.reason
    when 'row_deleted' then judged.discarded_at when 'not_delivered' then judged.finished_at else judged.kept_until
  end as due_at
from judged
where judged.reason is not null;

revoke all on table listener.due_artifacts from public, anon, authenticated, service_role;
grant select on table listener.due_artifacts to service_role;
