-- listener.sessions
-- The state machine of one paid request. `attempt` only grows and is the fence of every write; `failures` counts what
-- max_attempts limits. Waiting retries are `delayed`, outside the claim's index, and shown as queued.
-- `worker` stays after a settlement, so that the same call again is known as already done; it is null when the database
-- took the session away. No foreign keys to the hot rows of kinds, session_tables and workers: each would lock them per row.
-- refund_due is what settling gives back when that is neither nothing (completed) nor all (failed, cancelled).
-- tells_partner: its end is told to its store's webhook (record_delivery). variant: which one of listener.variants its id drew.
-- paid_by_app: cost was taken by the app itself, and its own function gives it back; the ledger never hears of it.
-- id is a UUID of version 7, in the order of arrival: what is claimed together lies together in every index that begins with it.
-- device_s, cost_usd: what all its attempts came to that were settled; null where nobody knew. Nothing of it is the owner's to pay.
-- Units: time_limit_s is seconds; progress is percent; cost and refund_due are credits; device_s is seconds of devices of our own.
create table listener.sessions (
  id uuid primary key default encode(
    set_bit(
      set_bit(
        overlay(
          uuid_send(gen_random_uuid()),
          substring(int8send(floor(1000 * extract(epoch from clock_timestamp()))::bigint), 3), 1, 6
        ),
        52, 1
      ),
      53, 1
    ),
    'hex'
  )::uuid,
  table_id integer not null,
  row_id uuid not null,
  kind text not null,
  owner uuid not null references listener.accounts (owner),
  status text not null default 'queued',
  params jsonb not null,
  cost integer not null,
  work double precision not null default 1,
  start_tag double precision not null,
  fair_tag double precision not null,
  seq bigint generated always as identity,
  run_at timestamptz,
  attempt integer not null default 0,
  failures integer not null default 0,
  max_attempts integer not null,
  time_limit_s integer not null,
  worker uuid,
  claim_id uuid,
  claimed_beat bigint,
  cancel_requested_at timestamptz,
  request_id text not null,
  traceparent text,
  progress integer not null default 0,
  note text,
  result jsonb,
  error_code text,
  error_message text,
  error_details jsonb,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  updated_at timestamptz not null default now(),
  refund_due integer,
  paid_by_app boolean not null default false,
  tells_partner boolean not null default false,
  variant text,
  device_s double precision,
  cost_usd double precision,
  constraint sessions_once_per_row unique (row_id, table_id),
  constraint sessions_status_is_known check (
    status in ('queued', 'delayed', 'processing', 'completed', 'failed', 'cancelled')
  ),
  constraint sessions_finished_iff_terminal check (
    (finished_at is not null) = (status in ('completed', 'failed', 'cancelled'))
  ),
  constraint sessions_delayed_until_a_time check (status <> 'delayed' or run_at is not null),
  constraint sessions_processing_by_a_worker check (
    status <> 'processing'
    or (worker is not null and claim_id is not null and started_at is not null and attempt > 0)
  ),
  constraint sessions_failed_with_code check (status <> 'failed' or error_code is not null),
  constraint sessions_failures_within_limit check (failures between 0 and max_attempts),
  constraint sessions_progress_is_percent check (progress between 0 and 100),
  constraint sessions_cost_is_not_negative check (cost >= 0),
  constraint sessions_refund_is_part_of_the_cost check (
    refund_due is null or (refund_due between 0 and cost and status in ('completed', 'cancelled'))
  ),
  constraint sessions_work_is_at_least_one check (work >= 1)
) with (
  fillfactor = 70,
  autovacuum_vacuum_scale_factor = 0.02,
  autovacuum_vacuum_threshold = 1000,
  autovacuum_analyze_scale_factor = 0.05,
  autovacuum_vacuum_cost_delay = 0
);

create index sessions_claimable on listener.sessions (kind, fair_tag, seq) where status = 'queued';
create index sessions_delayed on listener.sessions (run_at) where status = 'delayed';
create index sessions_processing on listener.sessions (worker, claim_id) where status = 'processing';
create index sessions_finished on listener.sessions (kind, finished_at) where finished_at is not null;
create index sessions_by_owner on listener.sessions (owner, created_at);

alter table listener.sessions enable row level security;
revoke all on table listener.sessions from public, anon, authenticated, service_role;
grant select, update on table listener.sessions to service_role;
