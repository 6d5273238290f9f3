-- listener.pack_invariants
-- Whatever contradicts the promises about packs, by name. Must always be empty. Apart from listener.invariants, since an app may
-- have tables of its own under these names.
create view listener.pack_invariants
with (security_invoker = true) as
with shown as (
  select
    image.id,
    session.status,
    session.attempt,
    session.owner,
    session.refund_due,
    session.cost,
    image.user_id,
    artifact.attempt as of_attempt
  from public.character_images as image
  left join listener.session_tables as registry on registry.relation = 'public.generation_jobs'::regclass
  left join listener.sessions as session on image.job_id = session.row_id and registry.id = session.table_id
  left join listener.artifacts as artifact on session.id = artifact.session and image.storage_path = artifact.path
)

select
  'an_image_that_is_shown_is_recorded_for_the_attempt_that_counts' as invariant,
  shown.id as subject
from shown
where shown.of_attempt is distinct from shown.attempt or shown.user_id is distinct from shown.owner
union all
select
  'an_image_is_shown_only_while_its_pack_runs_or_is_paid_for' as invariant,
  shown.id as subject
from shown
where (
  shown.status in ('processing', 'completed') or (shown.status = 'cancelled' and shown.refund_due < shown.cost)
) is not true
union all
select
  'every_image_of_a_pack_that_counts_is_shown' as invariant,
  session.id as subject
from listener.sessions as session
inner join public.generation_jobs as job on session.row_id = job.id
inner join listener.session_tables as registry on session.table_id = registry.id
inner join listener.artifacts as artifact on session.id = artifact.session and session.attempt = artifact.attempt
left join public.character_images as image on job.id = image.job_id and artifact.path = image.storage_path
where
  registry.relation = 'public.generation_jobs'::regclass and registry.broken_at is null
  and (session.status in ('processing', 'completed') or (session.status = 'cancelled' and session.refund_due < session.cost))
  and artifact.content_type like 'image/%' and image.id is null
union all
select
  'a_pack_draws_its_own_users_character' as invariant,
  job.id as subject
from public.generation_jobs as job
inner join public.characters as owned on job.character_id = owned.id
where job.user_id <> owned.user_id or job.character ->> 'id' is distinct from owned.id::text;

revoke all on table listener.pack_invariants from public, anon, authenticated, service_role;
grant select on table listener.pack_invariants to service_role;
