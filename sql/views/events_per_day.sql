-- listener.events_per_day
-- Events counted by UTC day, kind and event. duration_ms is of generation_completed; for pack_completed, from the insert on.
create view listener.events_per_day
with (security_invoker = true) as
with told as (
  select
    event.kind,
    event.event,
    event.owner,
    event.properties,
    (event.at at time zone 'utc')::date as day,
    coalesce(event.properties ->> 'duration_ms', event.properties ->> 'total_duration_ms')::bigint as duration_ms
  from listener.events as event
)

select
  told.day,
  told.kind,
  told.event,
  count(*) as n,
  count(distinct told.owner) as owners,
  sum((told.properties ->> 'image_count')::integer) as image_count,
  sum((told.properties ->> 'size_bytes')::bigint) as size_bytes,
  percentile_cont(0.5) within group (order by told.duration_ms) as duration_ms_p50,
  percentile_cont(0.95) within group (order by told.duration_ms) as duration_ms_p95,
  count(*) filter (where told.properties ->> 'error_type' = 'content_rejected') as content_rejected
from told
group by told.day, told.kind, told.event;

revoke all on table listener.events_per_day from public, anon, authenticated, service_role;
grant select on table listener.events_per_day to service_role;
