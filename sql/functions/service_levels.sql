-- public.service_levels(hours) -> (kind, completed, failed, success, wait_p95_s, done_p50_s, done_p95_s, first_p95_s)
-- How sessions of each kind ended in the last hours: the share that completed, and how long people waited.
-- Units: success is 0 to 1 of completed and failed; *_s are seconds since the insert: until the first attempt began (wait), until
-- it was completed (done), until its first artifact was there (first). Null where nothing ended.
create function public.service_levels(p_hours integer default 24)
returns table (
  kind text, completed bigint, failed bigint, success double precision, wait_p95_s double precision, done_p50_s double precision,
  done_p95_s double precision, first_p95_s double precision
)
language sql volatile security invoker
set search_path = ''
as $$
  with ended as (
    select
      session.kind,
      session.status,
      extract(epoch from session.started_at - session.created_at)::double precision as wait_s,
      extract(epoch from session.finished_at - session.created_at)::double precision as done_s,
      (
        select extract(epoch from min(artifact.created_at) - session.created_at)::double precision
        from listener.artifacts as artifact
        where artifact.session = session.id
      ) as first_s
    from listener.kinds as kinds
    inner join listener.sessions as session on kinds.kind = session.kind
    where
      session.finished_at >= (select listener.clock()) - make_interval(hours => least(greatest(p_hours, 1), 24 * 31))
      and session.status in ('completed', 'failed')
  )

  select
    ended.kind,
    count(*) filter (where ended.status = 'completed'),
    count(*) filter (where ended.status = 'failed'),
    round(count(*) filter (where ended.status = 'completed')::numeric / count(*), 4)::double precision,
    percentile_cont(0.95) within group (order by ended.wait_s),
    percentile_cont(0.5) within group (order by ended.done_s) filter (where ended.status = 'completed'),
    percentile_cont(0.95) within group (order by ended.done_s) filter (where ended.status = 'completed'),
    percentile_cont(0.95) within group (order by ended.first_s) filter (where ended.status = 'completed')
  from ended
  group by ended.kind
  order by ended.kind
$$;

revoke all on function public.service_levels(integer) from public, anon, authenticated;
grant execute on function public.service_levels(integer) to service_role;
