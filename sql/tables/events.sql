-- listener.events
-- What product analytics counts, written by the transactions that it tells of. The key makes each event happen once:
-- occurrence is the attempt for generation_started, <attempt>/<name> for image_stored, and empty where a session has but one.
-- `session` is no foreign key: events outlive pruned sessions.
-- properties, character_id being null outside packs:
--   generation_queued     character_id, image_count
--   generation_started    character_id, model              of whom the worker asks first: its devices.models.<kind>, else null
--   generation_completed  character_id, duration_ms        of the attempt that completed
--   generation_failed     character_id, error_type         once per session, when it fails for good; content_rejected too
--   image_stored          character_id, size_bytes         every artifact of every attempt
--   pack_completed        character_id, image_count, total_duration_ms      images delivered; from the insert on
create table listener.events (
  session uuid not null,
  event listener.event_name not null,
  occurrence text not null default '',
  kind text not null,
  owner uuid not null,
  properties jsonb not null,
  at timestamptz not null,
  primary key (session, event, occurrence)
);

create index events_by_time on listener.events using brin (at);

alter table listener.events enable row level security;
revoke all on table listener.events from public, anon, authenticated, service_role;
grant select, insert on table listener.events to service_role;
