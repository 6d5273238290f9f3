-- listener.workers
-- One row per worker process (a new uuid per start; the name is a label). One heartbeat write renews all its sessions.
-- RLS is off and only (id, beats) may be read, by service_role alone: the row is published, and its beat coming back over
-- Realtime proves the way from the WAL to the worker's socket. Everything else is written by definer functions.
-- state is the word that the worker itself sent with its newest heartbeat; null: it has not said any.
-- Units: lease_s is seconds.
create table listener.workers (
  id uuid primary key,
  name text not null,
  kinds text[] not null,
  slots integer not null,
  devices jsonb not null default '{}',
  version text not null,
  lease_s integer not null,
  beats bigint not null default 0,
  state text,
  started_at timestamptz not null default now(),
  lease_expires_at timestamptz not null,
  expired_at timestamptz,
  constraint workers_lease_is_bounded check (lease_s between 2 and 300),
  constraint workers_slots_are_positive check (slots >= 1),
  constraint workers_state_is_a_word check (length(state) between 1 and 40)
) with (fillfactor = 50);

create index workers_by_lease on listener.workers (lease_expires_at) where expired_at is null;

revoke all on table listener.workers from public, anon, authenticated, service_role;
grant select (id, beats) on table listener.workers to service_role;
