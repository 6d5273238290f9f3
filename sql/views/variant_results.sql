-- listener.variant_results
-- How the variants of a kind do against each other: how many of their sessions succeeded, how long those took, what they cost.
-- A null variant is the sessions from before the test. cost_usd is what handlers said in their results, where they said it.
-- Units: duration_s is seconds of the attempt that completed; credits_kept is credits.
create view listener.variant_results
with (security_invoker = true) as
with measured as (
  select
    session.kind,
    session.variant,
    session.status,
    case when session.status = 'completed' then extract(epoch from session.finished_at - session.started_at) end as duration_s,
    case
      when session.status in ('failed', 'cancelled') then session.cost - coalesce(session.refund_due, session.cost)
      when session.status = 'completed' then session.cost - coalesce(session.refund_due, 0)
    end as credits,
    case
      when jsonb_typeof(session.result -> 'cost_usd') = 'number' then (session.result ->> 'cost_usd')::numeric
    end as cost_usd
  from listener.sessions as session
  where session.kind in (select known.kind from listener.variants as known)
)

select
  measured.kind,
  measured.variant,
  count(*) as sessions,
  count(*) filter (where measured.status = 'completed') as completed,
  count(*) filter (where measured.status = 'failed') as failed,
  count(*) filter (where measured.status = 'cancelled') as cancelled,
  round(
    count(*) filter (where measured.status = 'completed')::numeric
    / nullif(count(*) filter (where measured.status in ('completed', 'failed')), 0), 4
  ) as success,
  percentile_cont(0.5) within group (order by measured.duration_s) as duration_s_p50,
  percentile_cont(0.95) within group (order by measured.duration_s) as duration_s_p95,
  sum(measured.credits) as credits_kept,
  sum(measured.cost_usd) as cost_usd,
  avg(measured.cost_usd) as cost_usd_mean
from measured
group by measured.kind, measured.variant;

revoke all on table listener.variant_results from public, anon, authenticated, service_role;
grant select on table listener.variant_results to service_role;
