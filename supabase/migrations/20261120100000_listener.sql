-- schema listener
-- Holds the state machine. It is never exposed over the API; the worker's and the users' doors are functions in public.
-- USAGE stands before every grant and before the publication: a published table that a role may read in a schema
-- that it may not use silences Realtime for the whole project.
create schema listener;

revoke all on schema listener from public;
grant usage on schema listener to service_role, authenticated;

-- listener.attempt_outcome
-- What a worker RPC answers for one (session, attempt): outcome is applied | already | refused,
-- code is null | SL001 lease_lost | SL002 session_unknown | SL003 transition_refused.
create type listener.attempt_outcome as (
  session uuid,
  attempt integer,
  outcome text,
  code text,
  cancel_requested boolean
);

-- listener.due_session
-- A queued session that a claim has locked: what it needs to know of it without reading it again.
create type listener.due_session as (
  session uuid,
  table_id integer,
  row_id uuid,
  kind text,
  work double precision,
  start_tag double precision,
  fair_tag double precision,
  seq bigint
);

-- listener.event_name
-- What an event may be called. A domain, since a check of the table would be read from the catalog by every insert.
create domain listener.event_name as text collate "C"
constraint event_name_is_known check (
  value in (
    'generation_queued', 'generation_started', 'generation_completed', 'generation_failed', 'image_stored', 'pack_completed'
  )
);

-- listener.misfit
-- Why a table cannot be watched: a name, what was found, what to do about it.
create type listener.misfit as (
  name text,
  detail text,
  hint text
);

-- listener.visible_state
-- What a visible row shows of its session, under our own column names: the argument of listener.write_visible.
create type listener.visible_state as (
  row_id uuid,
  status text,
  progress integer,
  message text,
  error_code text,
  error_message text,
  error_details jsonb,
  result jsonb,
  started_at timestamptz,
  finished_at timestamptz,
  updated_at timestamptz
);

-- public.stores
-- A store is an owner of its own: its sessions are paid by its account, and its API keys act for it. The app's server makes stores.
create table public.stores (
  id uuid primary key default gen_random_uuid(),
  name text not null,
  created_at timestamptz not null default now(),
  constraint stores_name_is_bounded check (char_length(name) between 1 and 200)
);

alter table public.stores enable row level security;
revoke all on table public.stores from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.stores to service_role;
grant select on table public.stores to authenticated;

-- public.characters
-- Whom a user's packs show: config and style in the words of docs/packs.md. face_reference_path is an object in the user's folder
-- of the bucket uploads. reference_path and image_urls are the listener's: the reference image of the first pack that completed,
-- which is kept as long as the character, or until a pack could not read it and drew it anew; and the signed URLs of the last one,
-- as they were then. They run out, the paths in character_images do not.
create table public.characters (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null default auth.uid(),
  name text not null default '',
  config jsonb not null,
  style jsonb not null default '{}',
  face_reference_path text,
  reference_path text,
  image_urls text[] not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint characters_name_is_bounded check (char_length(name) <= 200),
  constraint characters_config_is_an_object check (jsonb_typeof(config) = 'object' and octet_length(config::text) <= 16384),
  constraint characters_style_is_an_object check (jsonb_typeof(style) = 'object' and octet_length(style::text) <= 16384),
  constraint characters_face_reference_lies_in_the_users_folder check (
    starts_with(face_reference_path, user_id::text || '/')
    and face_reference_path !~ '(^|/)\.{0,2}(/|$)'
    and char_length(face_reference_path) <= 1024
  )
);

create index characters_by_user on public.characters (user_id, created_at desc);
create index characters_by_reference on public.characters (reference_path) where reference_path is not null;
create index characters_by_face_reference on public.characters (face_reference_path) where face_reference_path is not null;

alter table public.characters enable row level security;
revoke all on table public.characters from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.characters to service_role;
grant select, delete on table public.characters to authenticated;
grant insert (id, user_id, name, config, style, face_reference_path) on table public.characters to authenticated;
grant update (name, config, style, face_reference_path) on table public.characters to authenticated;

-- public.generation_jobs
-- Character packs: one row is one pack, charged image_count credits when it is inserted. `character` is what the character was at
-- that moment (take_character), whatever becomes of it later; completed_count the images that can be seen (count_images).
-- Users give the input columns; all others are the listener's.
-- Units: progress is percent.
create table public.generation_jobs (
  id uuid primary key default gen_random_uuid(),
  character_id uuid not null references public.characters (id) on delete cascade,
  user_id uuid not null default auth.uid(),
  image_count integer not null default 5,
  character jsonb,
  status text not null default 'queued',
  progress integer not null default 0,
  completed_count integer not null default 0,
  message text,
  error_code text,
  error_message text,
  error_details jsonb,
  result jsonb,
  version bigint not null default 0,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  completed_at timestamptz,
  updated_at timestamptz not null default now(),
  constraint generation_jobs_image_count_is_five_to_ten check (image_count between 5 and 10),
  constraint generation_jobs_status_is_known check (
    status in ('queued', 'processing', 'completed', 'failed', 'cancelled')
  ),
  constraint generation_jobs_progress_is_percent check (progress between 0 and 100)
) with (fillfactor = 70);

create index generation_jobs_by_user on public.generation_jobs (user_id, created_at desc);
create index generation_jobs_by_character on public.generation_jobs (character_id);

alter table public.generation_jobs enable row level security;
revoke all on table public.generation_jobs from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.generation_jobs to service_role;
grant select on table public.generation_jobs to authenticated;
grant insert (id, user_id, character_id, image_count) on table public.generation_jobs to authenticated;

-- listener.plans
-- What an account's plan is worth in the queue, what a new account is given, and what it may ask for; null is no limit.
-- Units: head_start is in units of work: a plan with 50 overtakes one with 0 until that is 50 units of work ahead.
--        welcomes_per_hour counts all accounts of the plan together; the other limits hold for each owner.
create table listener.plans (
  plan text primary key,
  weight double precision not null default 1,
  head_start double precision not null default 0,
  welcome_credits integer not null default 0,
  inserts_per_minute integer,
  inserts_per_day integer,
  running_at_once integer,
  welcomes_per_hour integer,
  constraint plans_weight_is_positive check (weight > 0),
  constraint plans_head_start_is_not_negative check (head_start >= 0),
  constraint plans_welcome_credits_are_not_negative check (welcome_credits >= 0),
  constraint plans_inserts_per_minute_is_positive check (inserts_per_minute > 0),
  constraint plans_inserts_per_day_is_positive check (inserts_per_day > 0),
  constraint plans_running_at_once_is_positive check (running_at_once > 0),
  constraint plans_welcomes_per_hour_is_not_negative check (welcomes_per_hour >= 0)
);

alter table listener.plans enable row level security;
revoke all on table listener.plans from public, anon, authenticated, service_role;
grant select on table listener.plans to service_role;

-- listener.kinds
-- What a session of a kind may cost the machines: time, attempts, place of its artifacts. running_at_once and requests_per_minute
-- hold over all workers; null is no limit. cancel_refund: what a user gets back who cancels a running session: all, none, or what
-- is undelivered.
-- Units: time_limit_s, grace_s are seconds; work is in units of an ordinary session, not in credits.
--        keep_days, keep_events_days: how long after their end finished sessions are kept, and events; null is for ever.
--        grace_s: how long after the time limit the sweep leaves the worker to say so itself.
create table listener.kinds (
  kind text primary key,
  work double precision not null default 1,
  time_limit_s integer not null default 300,
  grace_s integer not null default 60,
  max_attempts integer not null default 3,
  bucket text not null,
  records_events boolean not null default true,
  running_at_once integer,
  requests_per_minute integer default 300,
  cancel_refund text not null default 'all',
  keep_days integer,
  keep_events_days integer,
  constraint kinds_kind_is_a_word check (kind ~ '^[a-z][a-z0-9_]{0,62}$'),
  constraint kinds_work_is_at_least_one check (work >= 1),
  constraint kinds_time_limit_is_sane check (time_limit_s between 1 and 86400),
  constraint kinds_grace_is_sane check (grace_s between 0 and 3600),
  constraint kinds_max_attempts_is_sane check (max_attempts between 1 and 100),
  constraint kinds_running_at_once_is_not_negative check (running_at_once >= 0),
  constraint kinds_requests_per_minute_is_positive check (requests_per_minute > 0),
  constraint kinds_keep_days_is_positive check (keep_days > 0),
  constraint kinds_keep_events_days_is_positive check (keep_events_days > 0),
  constraint kinds_cancel_refund_is_known check (cancel_refund in ('all', 'undelivered', 'none'))
) with (fillfactor = 50);

alter table listener.kinds enable row level security;
revoke all on table listener.kinds from public, anon, authenticated, service_role;
grant select, update on table listener.kinds to service_role;

-- listener.session_tables
-- The visible tables whose rows are sessions. `columns` maps our name of a state column to the table's own;
-- a name that is absent is not written. A table whose projection fails is marked broken and skipped until it is mended.
-- Rows come and go by listener.watch and listener.unwatch alone. on_refund is the signature of a function of an app that
-- has a credit system of its own: see app_refunds. is_published_here: watch put the table into the publication.
-- bucket, folder: where the artifacts of these rows lie; a null bucket is the kind's, {owner} in folder is the row's owner,
-- {character} its character_id.
-- is_ours: our migration made it, so a deleted user's rows may be deleted from it.
-- tells_partner: its owners are stores, whose webhooks hear of the end of its sessions.
-- Units: credits is what one row costs, with credits_column as often as that column of the row says; with on_refund, what the
--        app itself took for it.
create table listener.session_tables (
  id integer generated always as identity primary key,
  relation regclass not null,
  kind text not null references listener.kinds (kind),
  id_column text not null default 'id',
  owner_column text not null default 'user_id',
  columns jsonb not null default '{
    "status": "status", "progress": "progress", "message": "message", "error_code": "error_code",
    "error_message": "error_message", "error_details": "error_details", "result": "result", "version": "version",
    "started_at": "started_at", "finished_at": "finished_at", "updated_at": "updated_at"
  }',
  credits integer not null default 1,
  credits_column text,
  broken_at timestamptz,
  broken_reason text,
  on_refund text,
  is_published_here boolean not null default false,
  bucket text,
  folder text not null default '{owner}',
  tells_partner boolean not null default false,
  is_ours boolean not null default false,
  constraint session_tables_once_per_relation unique (relation),
  constraint session_tables_credits_are_not_negative check (credits >= 0),
  constraint session_tables_columns_have_status_and_version check (columns ?& array['status', 'version']),
  constraint session_tables_folder_is_a_plain_path check (folder ~ '^\{owner\}(/([a-z0-9_-]{1,64}|\{character\}))*$'),
  constraint session_tables_broken_with_reason check ((broken_at is null) = (broken_reason is null))
);

create index session_tables_by_kind on listener.session_tables (kind);

alter table listener.session_tables enable row level security;
revoke all on table listener.session_tables from public, anon, authenticated, service_role;
grant select on table listener.session_tables to service_role;
grant update (broken_at, broken_reason) on table listener.session_tables to service_role;

-- listener.accounts
-- One owner's credits and plan. The balance is the sum of the owner's ledger entries (view credit_audit) and never negative.
-- welcomed_at: when the welcome grant came, which is with the first session that costs something, or with a first grant.
-- Units: balance is whole credits.
create table listener.accounts (
  owner uuid primary key,
  plan text not null default 'free' references listener.plans (plan),
  balance integer not null default 0,
  created_at timestamptz not null default now(),
  welcomed_at timestamptz,
  constraint accounts_balance_is_not_negative check (balance >= 0)
) with (fillfactor = 70);

create index accounts_by_plan on listener.accounts (plan, welcomed_at);

alter table listener.accounts enable row level security;
revoke all on table listener.accounts from public, anon, authenticated, service_role;
grant select, insert, update on table listener.accounts to service_role;

-- listener.ledger
-- Every movement of credits, for ever. `key` makes it happen once: charge:<session>, refund:<session>, grant:<caller's key>,
-- welcome:<owner>. `session` is no foreign key: the ledger outlives pruned sessions.
-- Units: amount is whole credits, negative for a charge.
create table listener.ledger (
  id bigint generated always as identity primary key,
  key text not null,
  entry text not null,
  owner uuid not null references listener.accounts (owner),
  amount integer not null,
  session uuid,
  reason text not null,
  created_at timestamptz not null default now(),
  constraint ledger_once_per_key unique (key),
  constraint ledger_entry_is_known check (entry in ('charge', 'refund', 'grant')),
  constraint ledger_charge_takes_and_others_give check (
    (entry = 'charge' and amount < 0) or (entry in ('refund', 'grant') and amount > 0)
  ),
  constraint ledger_session_unless_grant check ((entry = 'grant') = (session is null)),
  constraint ledger_key_names_the_session check (
    entry = 'grant' or key = entry || ':' || session::text
  )
);

create index ledger_by_owner on listener.ledger (owner, created_at);

alter table listener.ledger enable row level security;
revoke all on table listener.ledger from public, anon, authenticated, service_role;
grant select, insert on table listener.ledger to service_role;

-- listener.turns
-- Where an owner's last session of a kind stands in the kind's virtual time; written only while the owner's account is locked.
create table listener.turns (
  owner uuid not null references listener.accounts (owner),
  kind text not null references listener.kinds (kind),
  last_tag double precision not null,
  primary key (owner, kind)
) with (fillfactor = 70);

create index turns_by_kind on listener.turns (kind);

alter table listener.turns enable row level security;
revoke all on table listener.turns from public, anon, authenticated, service_role;
grant select on table listener.turns to service_role;

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

-- listener.api_keys
-- Keys by which a store's servers use the HTTP API. Only the SHA-256 of a key is here; `prefix` is what its owner knows it by.
-- Units: per_minute is requests in any 60 seconds.
create table listener.api_keys (
  key uuid primary key default gen_random_uuid(),
  store uuid not null references public.stores (id) on delete cascade,
  name text not null,
  hash text not null,
  prefix text not null,
  per_minute integer not null,
  created_at timestamptz not null,
  last_used_at timestamptz,
  revoked_at timestamptz,
  constraint api_keys_once_per_hash unique (hash),
  constraint api_keys_hash_is_a_sha256 check (hash ~ '^[0-9a-f]{64}$'),
  constraint api_keys_name_is_bounded check (char_length(name) between 1 and 100),
  constraint api_keys_prefix_is_bounded check (prefix ~ '^[\x21-\x7e]{1,32}$'),
  constraint api_keys_per_minute_is_sane check (per_minute between 1 and 100000)
) with (fillfactor = 50);

create index api_keys_by_store on listener.api_keys (store, created_at);

alter table listener.api_keys enable row level security;
revoke all on table listener.api_keys from public, anon, authenticated, service_role;
grant select, insert on table listener.api_keys to service_role;
grant update (last_used_at, revoked_at) on table listener.api_keys to service_role;

-- listener.partner_webhooks
-- Where a store wants to hear of its finished sessions, and the secrets that sign it: several while one replaces another, each
-- signs. `active_at`: sessions that finish later are told. `changed_at`: what an older address answered does not concern it.
create table listener.partner_webhooks (
  store uuid primary key references public.stores (id) on delete cascade,
  url text not null,
  secrets text[] not null,
  active boolean not null,
  active_at timestamptz not null,
  changed_at timestamptz not null,
  constraint partner_webhooks_go_over_http check (url ~ '^https?://[^\s/?#@]+(/[^\s#]*)?$' and char_length(url) <= 2048),
  constraint partner_webhooks_have_one_to_three_secrets check (
    array_ndims(secrets) = 1 and cardinality(secrets) between 1 and 3
  ),
  constraint partner_webhooks_secrets_are_standard check (
    array_to_string(secrets, ' ', '') ~ '^whsec_[A-Za-z0-9+/]{32,86}={0,2}( whsec_[A-Za-z0-9+/]{32,86}={0,2})*$'
  )
);

alter table listener.partner_webhooks enable row level security;
revoke all on table listener.partner_webhooks from public, anon, authenticated, service_role;
grant select, insert, update on table listener.partner_webhooks to service_role;

-- listener.api_key_days
-- How often a key was used on a day (UTC): accepted requests, and those beyond its limit. Kept for 400 days.
create table listener.api_key_days (
  key uuid not null references listener.api_keys (key) on delete cascade,
  day date not null,
  requests bigint not null default 0,
  refused bigint not null default 0,
  primary key (key, day)
) with (fillfactor = 50);

create index api_key_days_by_day on listener.api_key_days (day);

alter table listener.api_key_days enable row level security;
revoke all on table listener.api_key_days from public, anon, authenticated, service_role;
grant select, insert, update on table listener.api_key_days to service_role;

-- listener.api_key_windows
-- Accepted requests of a key in pieces of 5 seconds: what its rate limit counts. Older pieces go with the key's next request.
create table listener.api_key_windows (
  key uuid not null references listener.api_keys (key) on delete cascade,
  starts_at timestamptz not null,
  requests integer not null,
  primary key (key, starts_at)
) with (fillfactor = 50);

alter table listener.api_key_windows enable row level security;
revoke all on table listener.api_key_windows from public, anon, authenticated, service_role;
grant select, insert, update, delete on table listener.api_key_windows to service_role;

-- listener.app_refunds
-- What an app with a credit system of its own has to give back, once per session; its function is called by the settling
-- transaction, and again by the sweep for as long as it raises. A failing function never loses a settlement: it is owed here.
-- `session` is no foreign key: what is owed outlives pruned sessions.
-- Units: amount is in the app's credits.
create table listener.app_refunds (
  session uuid primary key,
  row_id uuid not null,
  on_refund text not null,
  amount integer not null,
  created_at timestamptz not null,
  calls integer not null default 0,
  call_at timestamptz not null,
  paid_at timestamptz,
  error text,
  constraint app_refunds_amount_is_positive check (amount > 0)
);

create index app_refunds_owed on listener.app_refunds (call_at) where paid_at is null;

alter table listener.app_refunds enable row level security;
revoke all on table listener.app_refunds from public, anon, authenticated, service_role;
grant select, insert, update on table listener.app_refunds to service_role;

-- listener.artifacts
-- The files that an attempt saved. Only those of the attempt that settles count. facts: what the handler says of this one.
-- discarded_at: when its row was deleted; the object goes with the next cleaning (due_artifacts).
-- Units: width and height are pixels.
create table listener.artifacts (
  session uuid not null references listener.sessions (id) on delete cascade,
  attempt integer not null,
  name text not null,
  bucket text not null,
  path text not null,
  thumbnail_path text,
  width integer,
  height integer,
  size_bytes bigint not null,
  content_type text not null,
  url text,
  expires_at timestamptz,
  facts jsonb not null default '{}',
  discarded_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (session, attempt, name),
  constraint artifacts_path_stays_in_its_folder check (path !~ '(^|/)\.{1,2}(/|$)' and path !~ '^/'),
  constraint artifacts_size_is_not_negative check (size_bytes >= 0),
  constraint artifacts_facts_are_an_object check (jsonb_typeof(facts) = 'object')
);

create index artifacts_by_path on listener.artifacts (path);
create index artifacts_by_thumbnail on listener.artifacts (thumbnail_path) where thumbnail_path is not null;
create index artifacts_by_age on listener.artifacts (bucket, created_at);
create index artifacts_discarded on listener.artifacts (discarded_at) where discarded_at is not null;

alter table listener.artifacts enable row level security;
revoke all on table listener.artifacts from public, anon, authenticated, service_role;
grant select, insert, update on table listener.artifacts to service_role;

-- public.avatar_sessions
-- Talking avatars for users: one row is one clip of the picture image_url saying audio_url, charged to its user when it is inserted.
-- Both are https URLs, or paths in the user's folder of the bucket uploads. Users give the input columns; all others are the
-- listener's.
-- Units: progress is percent.
create table public.avatar_sessions (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null default auth.uid(),
  image_url text not null,
  audio_url text not null,
  prompt text,
  resolution text not null default '720p',
  seed bigint,
  status text not null default 'queued',
  progress integer not null default 0,
  message text,
  error_code text,
  error_message text,
  error_details jsonb,
  result jsonb,
  version bigint not null default 0,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  updated_at timestamptz not null default now(),
  constraint avatar_sessions_image_url_is_bounded check (char_length(image_url) between 1 and 4096),
  constraint avatar_sessions_audio_url_is_bounded check (char_length(audio_url) between 1 and 4096),
  constraint avatar_sessions_prompt_is_bounded check (char_length(prompt) <= 2000),
  constraint avatar_sessions_resolution_is_known check (resolution in ('480p', '720p')),
  constraint avatar_sessions_status_is_known check (
    status in ('queued', 'processing', 'completed', 'failed', 'cancelled')
  ),
  constraint avatar_sessions_progress_is_percent check (progress between 0 and 100)
) with (fillfactor = 70);

create index avatar_sessions_by_user on public.avatar_sessions (user_id, created_at desc);

alter table public.avatar_sessions enable row level security;
revoke all on table public.avatar_sessions from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.avatar_sessions to service_role;
grant select on table public.avatar_sessions to authenticated;
grant insert (
  id, user_id, image_url, audio_url, prompt, resolution, seed
) on table public.avatar_sessions to authenticated;

-- public.character_images
-- The images of packs, each from the moment it is saved; written by the database alone (show_images), from what the job's row
-- shows, so that both always agree. Paths lie in the bucket characters.
-- Units: width and height are pixels; similarity is 0 to 1, null unless measured; position counts from 0.
create table public.character_images (
  id uuid primary key default gen_random_uuid(),
  character_id uuid not null references public.characters (id) on delete cascade,
  job_id uuid not null references public.generation_jobs (id) on delete cascade,
  user_id uuid not null,
  position integer not null,
  pose text,
  storage_path text not null,
  thumbnail_path text,
  width integer,
  height integer,
  similarity real,
  similarity_state text not null,
  seed bigint,
  created_at timestamptz not null default now(),
  constraint character_images_once_per_path unique (job_id, storage_path),
  constraint character_images_similarity_is_a_part_of_one check (similarity between 0 and 1),
  constraint character_images_similarity_state_is_known check (
    similarity_state in ('reference', 'measured', 'below', 'not_measured')
  )
);

create index character_images_by_character on public.character_images (character_id, created_at);
create index character_images_by_user on public.character_images (user_id, created_at desc);

alter table public.character_images enable row level security;
revoke all on table public.character_images from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.character_images to service_role;
grant select on table public.character_images to authenticated;

-- listener.cleaning
-- One row: whose turn it is to remove what nobody needs, and the object that the walk through the storage has come to. Without a
-- holder nobody is at it, and workers wait until `until`; with one, the others wait until then.
create table listener.cleaning (
  id boolean primary key default true,
  holder uuid,
  until timestamptz not null,
  bucket text not null default '',
  path text not null default '',
  constraint cleaning_is_one_row check (id)
);

alter table listener.cleaning enable row level security;
revoke all on table listener.cleaning from public, anon, authenticated, service_role;
grant select, insert, update on table listener.cleaning to service_role;

-- listener.deliveries
-- What partners are told: one row for each finished session of a store with an active webhook, written by the settling
-- transaction. `id` is the message's, the same at every attempt. `attempt` only grows and is the fence of settle_deliveries;
-- `failures` counts what limits it. Kept for 30 days after its end; `session` is no foreign key, it outlives pruned sessions.
-- Units: next_at is when a waiting one is due, and when a sending one is taken from its worker.
create table listener.deliveries (
  id uuid primary key default gen_random_uuid(),
  session uuid not null,
  store uuid not null references listener.partner_webhooks (store) on delete cascade,
  event text not null,
  status text not null default 'waiting',
  attempt integer not null default 0,
  failures integer not null default 0,
  next_at timestamptz not null,
  worker uuid,
  claimed_at timestamptz,
  last_status integer,
  last_error text,
  created_at timestamptz not null,
  ended_at timestamptz,
  constraint deliveries_once_per_session unique (session),
  constraint deliveries_event_is_known check (event in ('session.completed', 'session.failed', 'session.cancelled')),
  constraint deliveries_status_is_known check (status in ('waiting', 'sending', 'delivered', 'dead')),
  constraint deliveries_ended_iff_over check ((ended_at is not null) = (status in ('delivered', 'dead'))),
  constraint deliveries_sending_by_a_worker check (status <> 'sending' or (worker is not null and claimed_at is not null)),
  constraint deliveries_last_error_is_bounded check (char_length(last_error) <= 500)
) with (fillfactor = 70);

create index deliveries_due on listener.deliveries (store, next_at) where status = 'waiting';
create index deliveries_sending on listener.deliveries (store) where status = 'sending';
create index deliveries_by_store on listener.deliveries (store, created_at);
create index deliveries_ended on listener.deliveries (ended_at) where ended_at is not null;

alter table listener.deliveries enable row level security;
revoke all on table listener.deliveries from public, anon, authenticated, service_role;
grant select, insert, update on table listener.deliveries to service_role;

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

-- listener.forgotten_owners
-- Users who were deleted: what lies in a folder that bears such an id may go, if it was written before or soon after; who was
-- only forgotten may come back (listed_orphans).
create table listener.forgotten_owners (
  owner uuid primary key,
  forgotten_at timestamptz not null
);

alter table listener.forgotten_owners enable row level security;
revoke all on table listener.forgotten_owners from public, anon, authenticated, service_role;
grant select, insert, update on table listener.forgotten_owners to service_role;

-- public.generation_sessions
-- Virtual try-on for users (B2C): one row is one picture, charged to its user when it is inserted. image_urls: the person first,
-- then the garments; https URLs, or paths in the user's folder of the bucket uploads. The row's id is the payload's session_id,
-- payload_version its version: `version` is the row's state, as everywhere. The same task_id again is refused, not charged.
-- Users give the input columns; all others are the listener's.
-- Units: progress is percent.
create table public.generation_sessions (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null default auth.uid(),
  task_id text,
  channel text not null default 'b2c',
  image_urls text[] not null,
  prompt text,
  request_id text,
  payload_version integer not null default 1,
  status text not null default 'queued',
  progress integer not null default 0,
  message text,
  error_code text,
  error_message text,
  error_details jsonb,
  result jsonb,
  version bigint not null default 0,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  updated_at timestamptz not null default now(),
  constraint generation_sessions_once_per_task unique (user_id, task_id),
  constraint generation_sessions_task_id_is_bounded check (task_id ~ '^[\x21-\x7e]{1,128}$'),
  constraint generation_sessions_channel_is_b2c check (channel = 'b2c'),
  constraint generation_sessions_image_urls_are_one_to_eight check (
    array_ndims(image_urls) = 1 and cardinality(image_urls) between 1 and 8 and array_position(image_urls, null) is null
  ),
  constraint generation_sessions_image_urls_are_bounded check (char_length(array_to_string(image_urls, '')) <= 16384),
  constraint generation_sessions_prompt_is_bounded check (char_length(prompt) <= 10000),
  constraint generation_sessions_request_id_is_bounded check (request_id ~ '^[\x21-\x7e]{1,128}$'),
  constraint generation_sessions_payload_version_is_known check (payload_version = 1),
  constraint generation_sessions_status_is_known check (
    status in ('queued', 'processing', 'completed', 'failed', 'cancelled')
  ),
  constraint generation_sessions_progress_is_percent check (progress between 0 and 100)
) with (fillfactor = 70);

create index generation_sessions_by_user on public.generation_sessions (user_id, created_at desc);

alter table public.generation_sessions enable row level security;
revoke all on table public.generation_sessions from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.generation_sessions to service_role;
grant select on table public.generation_sessions to authenticated;
grant insert (
  id, user_id, task_id, channel, image_urls, prompt, request_id, payload_version
) on table public.generation_sessions to authenticated;

-- public.headshot_sessions
-- What the app inserts and its frontend watches: one row is one headshot, charged when it is inserted.
-- Users give the input columns; all others are the listener's. `version` grows with every write: merge by it, never by time.
-- Units: width and height are pixels; progress is percent.
create table public.headshot_sessions (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null default auth.uid(),
  prompt text not null,
  negative_prompt text,
  width integer,
  height integer,
  num_inference_steps integer,
  guidance_scale double precision,
  seed bigint,
  status text not null default 'queued',
  progress integer not null default 0,
  message text,
  error_code text,
  error_message text,
  error_details jsonb,
  result jsonb,
  version bigint not null default 0,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  updated_at timestamptz not null default now(),
  constraint headshot_sessions_prompt_is_bounded check (char_length(prompt) <= 10000),
  constraint headshot_sessions_negative_prompt_is_bounded check (char_length(negative_prompt) <= 10000),
  constraint headshot_sessions_status_is_known check (
    status in ('queued', 'processing', 'completed', 'failed', 'cancelled')
  ),
  constraint headshot_sessions_progress_is_percent check (progress between 0 and 100)
) with (fillfactor = 70);

create index headshot_sessions_by_user on public.headshot_sessions (user_id, created_at desc);

alter table public.headshot_sessions enable row level security;
revoke all on table public.headshot_sessions from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.headshot_sessions to service_role;
grant select on table public.headshot_sessions to authenticated;
grant insert (
  id, user_id, prompt, negative_prompt, width, height, num_inference_steps, guidance_scale, seed
) on table public.headshot_sessions to authenticated;

-- listener.permits
-- Requests to a provider that workers were allowed within the last minute; older rows go with the next permit of the kind.
create table listener.permits (
  id bigint generated always as identity primary key,
  kind text not null,
  worker uuid not null,
  granted integer not null,
  granted_at timestamptz not null,
  constraint permits_granted_is_positive check (granted > 0)
);

create index permits_by_kind on listener.permits (kind, granted_at);

alter table listener.permits enable row level security;
revoke all on table listener.permits from public, anon, authenticated, service_role;
grant select, insert, delete on table listener.permits to service_role;

-- listener.pruned_costs
-- What sessions had cost that are kept no longer, summed by the UTC day of their end: prune_finished adds here what it removes.
-- Units: device_s is seconds of devices of our own, cost_usd US dollars; null where nobody knew.
create table listener.pruned_costs (
  day date not null,
  kind text not null,
  owner uuid not null,
  sessions bigint not null,
  device_s double precision,
  cost_usd double precision,
  primary key (day, kind, owner)
);

alter table listener.pruned_costs enable row level security;
revoke all on table listener.pruned_costs from public, anon, authenticated, service_role;
grant select on table listener.pruned_costs to service_role;

-- listener.retentions
-- How long the results in a bucket are kept, where that is not for their kind to say in days: clips weigh much, and their addresses
-- are good for hours. Whichever ends first, this or the kind's keep_days, decides. The sessions and their rows stay, without them.
-- Units: keep_hours counts from the end of the session.
create table listener.retentions (
  bucket text primary key,
  keep_hours double precision not null,
  constraint retentions_keep_hours_is_positive check (keep_hours > 0 and keep_hours <= 876000)
);

alter table listener.retentions enable row level security;
revoke all on table listener.retentions from public, anon, authenticated, service_role;
grant select, insert, update, delete on table listener.retentions to service_role;

-- public.store_avatar_sessions
-- Talking avatars for stores: as avatar_sessions, but charged to the store, whose folder of the bucket uploads paths lie in. Rows
-- come by the store's API keys and by service_role; the store's members may read them, and change nothing.
-- Units: progress is percent.
create table public.store_avatar_sessions (
  id uuid primary key default gen_random_uuid(),
  store_id uuid not null references public.stores (id),
  image_url text not null,
  audio_url text not null,
  prompt text,
  resolution text not null default '720p',
  seed bigint,
  status text not null default 'queued',
  progress integer not null default 0,
  message text,
  error_code text,
  error_message text,
  error_details jsonb,
  result jsonb,
  version bigint not null default 0,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  updated_at timestamptz not null default now(),
  constraint store_avatar_sessions_image_url_is_bounded check (char_length(image_url) between 1 and 4096),
  constraint store_avatar_sessions_audio_url_is_bounded check (char_length(audio_url) between 1 and 4096),
  constraint store_avatar_sessions_prompt_is_bounded check (char_length(prompt) <= 2000),
  constraint store_avatar_sessions_resolution_is_known check (resolution in ('480p', '720p')),
  constraint store_avatar_sessions_status_is_known check (
    status in ('queued', 'processing', 'completed', 'failed', 'cancelled')
  ),
  constraint store_avatar_sessions_progress_is_percent check (progress between 0 and 100)
) with (fillfactor = 70);

create index store_avatar_sessions_by_store on public.store_avatar_sessions (store_id, created_at desc);

alter table public.store_avatar_sessions enable row level security;
revoke all on table public.store_avatar_sessions from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.store_avatar_sessions to service_role;
grant select on table public.store_avatar_sessions to authenticated;

-- public.store_generation_sessions
-- Virtual try-on for stores (B2B): as generation_sessions, but charged to the store. Rows come by the store's API keys and by
-- service_role; the store's members may read them, and change nothing.
-- Units: progress is percent.
create table public.store_generation_sessions (
  id uuid primary key default gen_random_uuid(),
  store_id uuid not null references public.stores (id),
  task_id text,
  channel text not null default 'b2b',
  image_urls text[] not null,
  prompt text,
  request_id text,
  payload_version integer not null default 1,
  status text not null default 'queued',
  progress integer not null default 0,
  message text,
  error_code text,
  error_message text,
  error_details jsonb,
  result jsonb,
  version bigint not null default 0,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  updated_at timestamptz not null default now(),
  constraint store_generation_sessions_once_per_task unique (store_id, task_id),
  constraint store_generation_sessions_task_id_is_bounded check (task_id ~ '^[\x21-\x7e]{1,128}$'),
  constraint store_generation_sessions_channel_is_b2b check (channel = 'b2b'),
  constraint store_generation_sessions_image_urls_are_one_to_eight check (
    array_ndims(image_urls) = 1 and cardinality(image_urls) between 1 and 8 and array_position(image_urls, null) is null
  ),
  constraint store_generation_sessions_image_urls_are_bounded check (char_length(array_to_string(image_urls, '')) <= 16384),
  constraint store_generation_sessions_prompt_is_bounded check (char_length(prompt) <= 10000),
  constraint store_generation_sessions_request_id_is_bounded check (request_id ~ '^[\x21-\x7e]{1,128}$'),
  constraint store_generation_sessions_payload_version_is_known check (payload_version = 1),
  constraint store_generation_sessions_status_is_known check (
    status in ('queued', 'processing', 'completed', 'failed', 'cancelled')
  ),
  constraint store_generation_sessions_progress_is_percent check (progress between 0 and 100)
) with (fillfactor = 70);

create index store_generation_sessions_by_store on public.store_generation_sessions (store_id, created_at desc);

alter table public.store_generation_sessions enable row level security;
revoke all on table public.store_generation_sessions from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.store_generation_sessions to service_role;
grant select on table public.store_generation_sessions to authenticated;

-- public.store_members
-- Which users may read a store's sessions and results. The app's server writes it; a member sees his own memberships.
create table public.store_members (
  store_id uuid not null references public.stores (id) on delete cascade,
  user_id uuid not null,
  created_at timestamptz not null default now(),
  primary key (store_id, user_id)
);

create index store_members_by_user on public.store_members (user_id, store_id);

alter table public.store_members enable row level security;
revoke all on table public.store_members from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.store_members to service_role;
grant select on table public.store_members to authenticated;

-- listener.variants
-- Tests of prompts and models: a session of the kind gets one of its active variants, drawn by its id, in proportion to the shares.
-- The handler reads overrides from the key `variant` of the params. Changed with plain SQL; holds from the next insert on.
create table listener.variants (
  kind text not null references listener.kinds (kind),
  name text not null,
  share numeric not null default 1,
  overrides jsonb not null default '{}',
  active boolean not null default true,
  primary key (kind, name),
  constraint variants_name_is_a_label check (name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$'),
  constraint variants_share_is_positive check (share > 0 and share <= 1000000),
  constraint variants_overrides_are_an_object check (jsonb_typeof(overrides) = 'object')
);

alter table listener.variants enable row level security;
revoke all on table listener.variants from public, anon, authenticated, service_role;
grant select on table listener.variants to service_role;

-- listener.virtual_times
-- The virtual time of each kind, which the claim advances (start-time fair queueing), and when sessions of it were last claimed:
-- a worker of several kinds takes them in turn. Apart from listener.kinds, because every claim writes it: an update of the policy
-- would have all its constraints read from the catalog each time.
create table listener.virtual_times (
  kind text primary key references listener.kinds (kind) on delete cascade,
  virtual_time double precision not null default 0,
  claimed_at timestamptz
) with (fillfactor = 50);

alter table listener.virtual_times enable row level security;
revoke all on table listener.virtual_times from public, anon, authenticated, service_role;
grant select, update on table listener.virtual_times to service_role;

-- listener.webhooks
-- Where a wake-up goes when sessions arrive: workers that are reachable over HTTP. kinds null stands for all of them.
-- The two keys are those of HMAC-SHA256 with its paddings, so that a signature is two hashes. They are worth what the secret is
-- worth: no role of the API reads this table, only the trigger's definer code.
-- Units: timeout_ms is how long pg_net waits for the answer.
create table listener.webhooks (
  url text primary key,
  kinds text[],
  inner_key bytea not null,
  outer_key bytea not null,
  timeout_ms integer not null default 2000,
  created_at timestamptz not null default now(),
  constraint webhooks_go_over_http check (url ~ '^https?://[^\s/?#@]+(/[^\s#]*)?$'),
  constraint webhooks_keys_are_one_block check (octet_length(inner_key) = 64 and octet_length(outer_key) = 64)
);

alter table listener.webhooks enable row level security;
revoke all on table listener.webhooks from public, anon, authenticated, service_role;

-- listener.clock() -> timestamptz
-- The only time of the state machine: the database's. A superuser's own connection may set listener.fake_now (tests);
-- in any other session the setting is ignored, since every role may set it.
create function listener.clock()
returns timestamptz
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  if coalesce(current_setting('listener.fake_now', true), '') = '' then
    return clock_timestamp();
  elsif exists (select from pg_catalog.pg_roles as role where role.rolname = session_user and role.rolsuper) then
    return current_setting('listener.fake_now', true)::timestamptz;
  end if;
  return clock_timestamp();
end
$$;

revoke all on function listener.clock() from public, anon, authenticated;
grant execute on function listener.clock() to service_role;

-- listener.costs_since(day) -> (day, kind, owner, sessions, device_s, cost_usd)
-- What sessions that ended on this UTC day or later came to, attempts that failed too; also of those that were removed since.
-- One range of the index (kind, finished_at) for each kind.
-- Units: device_s is seconds of devices of our own, cost_usd US dollars; null where nobody knew.
create function listener.costs_since(p_day date)
returns table (day date, kind text, owner uuid, sessions bigint, device_s double precision, cost_usd double precision)
language sql stable security invoker
set search_path = ''
as $$
  select
    spent.day, spent.kind, spent.owner, sum(spent.sessions)::bigint, sum(spent.device_s), sum(spent.cost_usd)
  from (
    select
      (ended.finished_at at time zone 'utc')::date as day, policy.kind, ended.owner, 1::bigint as sessions, ended.device_s,
      ended.cost_usd
    from listener.kinds as policy
    cross join lateral (
      select session.finished_at, session.owner, session.device_s, session.cost_usd
      from listener.sessions as session
      where session.kind = policy.kind and session.finished_at >= p_day::timestamp at time zone 'utc'
    ) as ended
    union all
    select pruned.day, pruned.kind, pruned.owner, pruned.sessions, pruned.device_s, pruned.cost_usd
    from listener.pruned_costs as pruned
    where pruned.day >= p_day
  ) as spent
  group by spent.day, spent.kind, spent.owner
$$;

revoke all on function listener.costs_since(date) from public, anon, authenticated;
grant execute on function listener.costs_since(date) to service_role;

-- listener.credit_audit
-- Accounts whose balance is not the sum of their ledger entries. Must always be empty.
create view listener.credit_audit
with (security_invoker = true) as
with booked as (
  select
    entry.owner,
    sum(entry.amount) as total
  from listener.ledger as entry
  group by entry.owner
)

select
  account.owner,
  account.balance,
  coalesce(booked.total, 0) as booked
from listener.accounts as account
left join booked on account.owner = booked.owner
where account.balance <> coalesce(booked.total, 0);

revoke all on table listener.credit_audit from public, anon, authenticated, service_role;
grant select on table listener.credit_audit to service_role;

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

-- listener.daily_costs
-- What the sessions that ended on a UTC day came to, by kind and owner: see costs_since, which reads a part of it faster.
-- Units: device_s is seconds of devices of our own, cost_usd US dollars; null where nobody knew.
create view listener.daily_costs
with (security_invoker = true) as
select
  spent.day,
  spent.kind,
  spent.owner,
  spent.sessions,
  spent.device_s,
  spent.cost_usd
from listener.costs_since('-infinity') as spent;

revoke all on table listener.daily_costs from public, anon, authenticated, service_role;
grant select on table listener.daily_costs to service_role;

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

-- listener.invariants
-- Whatever contradicts the promises of the design, by name. Must always be empty; checked after every fault.
create view listener.invariants
with (security_invoker = true) as
with money as (
  select
    session.id,
    session.owner,
    session.status,
    case when session.paid_by_app then 0 else session.cost end as cost,
    case
      when session.paid_by_app then 0
      when session.status = 'completed' then coalesce(session.refund_due, 0)
      when session.status in ('failed', 'cancelled') then coalesce(session.refund_due, session.cost)
      else 0
    end as owed,
    charge.amount as charged,
    charge.owner as charged_owner,
    refund.amount as refunded,
    refund.owner as refunded_owner
  from listener.sessions as session
  left join listener.ledger as charge on charge.key = 'charge:' || session.id::text
  left join listener.ledger as refund on refund.key = 'refund:' || session.id::text
)

select
  'balance_is_the_sum_of_the_ledger' as invariant,
  audit.owner as subject
from listener.credit_audit as audit
union all
select
  'balance_is_not_negative' as invariant,
  account.owner as subject
from listener.accounts as account
where account.balance < 0
union all
select
  'a_session_is_charged_its_cost_once' as invariant,
  money.id as subject
from money
where coalesce(-money.charged, 0) <> money.cost
union all
select
  'failed_and_cancelled_are_refunded' as invariant,
  money.id as subject
from money
where money.status in ('failed', 'cancelled') and coalesce(money.refunded, 0) <> money.owed
union all
select
  'open_is_not_refunded_and_completed_only_in_part' as invariant,
  money.id as subject
from money
where money.status not in ('failed', 'cancelled') and coalesce(money.refunded, 0) <> money.owed
union all
select
  'a_refund_follows_its_charge' as invariant,
  refund.session as subject
from listener.ledger as refund
left join listener.ledger as charge on charge.key = 'charge:' || refund.session::text
where refund.entry = 'refund' and (charge.id is null or refund.amount > -charge.amount)
union all
select
  'money_moves_on_the_account_of_the_sessions_owner' as invariant,
  money.id as subject
from money
where money.charged_owner <> money.owner or money.refunded_owner <> money.owner
union all
select
  'what_the_app_took_is_owed_or_given_back_by_the_app' as invariant,
  session.id as subject
from listener.sessions as session
left join listener.app_refunds as refund on session.id = refund.session
where
  session.paid_by_app
  and coalesce(refund.amount, 0) <> case
    when session.status = 'completed' then coalesce(session.refund_due, 0)
    when session.status in ('failed', 'cancelled') then coalesce(session.refund_due, session.cost)
    else 0
  end
union all
select
  'what_is_open_belongs_to_a_watched_table' as invariant,
  session.id as subject
from listener.sessions as session
left join listener.session_tables as registry on session.table_id = registry.id
where session.finished_at is null and registry.id is null
union all
select
  'processing_belongs_to_a_registered_worker' as invariant,
  session.id as subject
from listener.sessions as session
left join listener.workers as worker on session.worker = worker.id
where session.status = 'processing' and worker.id is null
union all
select
  'what_finished_after_its_webhook_was_active_has_a_delivery' as invariant,
  session.id as subject
from listener.sessions as session
inner join listener.partner_webhooks as hook on session.owner = hook.store and session.finished_at > hook.active_at
left join listener.deliveries as delivery on session.id = delivery.session
where
  session.tells_partner and hook.active and delivery.id is null
  and session.finished_at > (select listener.clock()) - interval '30 days'
union all
select
  'a_delivery_tells_how_its_session_ended' as invariant,
  delivery.session as subject
from listener.deliveries as delivery
inner join listener.sessions as session on delivery.session = session.id
where delivery.event <> 'session.' || session.status or delivery.store <> session.owner
union all
select
  'a_session_shows_the_variant_that_its_worker_was_given' as invariant,
  session.id as subject
from listener.sessions as session
where session.variant is distinct from session.params -> 'variant' ->> 'name';

revoke all on table listener.invariants from public, anon, authenticated, service_role;
grant select on table listener.invariants to service_role;

-- listener.key_usage
-- How often each API key was used on each UTC day of the last 400: accepted requests, and those beyond its limit. Days without any
-- are left out.
create view listener.key_usage
with (security_invoker = true) as
select
  used.day,
  given.store,
  given.key,
  given.name,
  used.requests,
  used.refused
from listener.api_key_days as used
inner join listener.api_keys as given on used.key = given.key;

revoke all on table listener.key_usage from public, anon, authenticated, service_role;
grant select on table listener.key_usage to service_role;

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

-- listener.visible_states
-- What each session's visible row shows: the source of listener.project, under our own column names.
-- Only artifacts of the current attempt are shown, and none once all credits went back.
create view listener.visible_states
with (security_invoker = true) as
select
  session.id as session,
  session.table_id,
  session.row_id,
  session.progress,
  session.finished_at,
  session.updated_at,
  case
    when session.status = 'completed' or saved.artifacts is not null
      then coalesce(session.result, '{}') || jsonb_build_object('artifacts', coalesce(saved.artifacts, '[]'))
  end as result,
  case session.status when 'delayed' then 'queued' else session.status end as status,
  case when session.status = 'processing' then session.note end as message,
  case when session.status = 'failed' then session.error_code end as error_code,
  case when session.status = 'failed' then session.error_message end as error_message,
  case when session.status = 'failed' then session.error_details end as error_details,
  case when session.status not in ('queued', 'delayed') then session.started_at end as started_at
from listener.sessions as session
left join lateral (
  select list.artifacts
  from listener.artifact_lists as list
  where list.session = session.id and list.attempt = session.attempt
) as saved on session.status in ('processing', 'completed') or (session.status = 'cancelled' and session.refund_due < session.cost);

revoke all on table listener.visible_states from public, anon, authenticated, service_role;
grant select on table listener.visible_states to service_role;

-- listener.state_columns() -> (name, definition, starts_as)
-- The columns by which a visible row tells its state: the definition that watch gives to a missing one, and the value that an
-- arriving row gets (null: updated_at, which keeps what the table gives it). Rows that were there before stay without a status.
create function listener.state_columns()
returns table (name text, definition text, starts_as jsonb)
language sql immutable security invoker
set search_path = ''
as $$
  values
    ('status', 'text', '"queued"'::jsonb),
    ('progress', 'integer not null default 0', '0'),
    ('message', 'text', 'null'),
    ('error_code', 'text', 'null'),
    ('error_message', 'text', 'null'),
    ('error_details', 'jsonb', 'null'),
    ('result', 'jsonb', 'null'),
    ('version', 'bigint not null default 0', '0'),
    ('started_at', 'timestamptz', 'null'),
    ('finished_at', 'timestamptz', 'null'),
    ('updated_at', 'timestamptz', null)
$$;

revoke all on function listener.state_columns() from public, anon, authenticated, service_role;

-- listener.is_named(bucket, path) -> boolean
-- Whether a character names this object. For each object alone, and asking whether our table is there: an app may have its own.
create function listener.is_named(p_bucket text, p_path text)
returns boolean
language plpgsql stable security invoker
set search_path = ''
as $$
begin
  if not exists (select from listener.session_tables as registry where registry.kind = 'pack' and registry.is_ours) then
    return false;
  end if;
  return case p_bucket
    when 'characters' then exists (select from public.characters as owned where owned.reference_path = p_path)
    when 'uploads' then exists (select from public.characters as owned where owned.face_reference_path = p_path)
    else false
  end;
end
$$;

revoke all on function listener.is_named(text, text) from public, anon, authenticated;
grant execute on function listener.is_named(text, text) to service_role;

-- listener.access_misfits(table, rls_off_is_fine, grant_select) -> setof misfit
-- Who would see too much, or by whom Realtime would be silenced for the whole project: a role that may read a published table
-- without USAGE on its schema (measured).
create function listener.access_misfits(
  p_table listener.session_tables, p_rls_off_is_fine boolean, p_grant_select boolean
)
returns setof listener.misfit
language sql stable security invoker
set search_path = ''
as $$
  select misfit.name, misfit.detail, misfit.hint
  from pg_catalog.pg_class as class
  inner join pg_catalog.pg_namespace as namespace on class.relnamespace = namespace.oid
  left join pg_catalog.pg_publication as publication on publication.pubname = 'supabase_realtime'
  left join pg_catalog.pg_publication_rel as published
    on published.prpubid = publication.oid and published.prrelid = class.oid
  cross join lateral (
    select string_agg(quote_ident(role.rolname), ', ' order by role.rolname) as roles
    from pg_catalog.pg_roles as role
    where
      not role.rolsuper and role.rolname <> 'service_role'
      and not has_schema_privilege(role.oid, namespace.oid, 'usage')
      and (
        has_any_column_privilege(role.oid, class.oid, 'select')
        or (role.rolname = 'authenticated' and p_grant_select and class.relrowsecurity)
      )
  ) as shut_out
  cross join lateral (
    values
      (not class.relrowsecurity and not p_rls_off_is_fine, 'rls_off',
        'Row level security is off: whoever may read the table sees the rows of all owners.',
        format('alter table %s enable row level security; or pass rls_off_is_fine => true.', p_table.relation)),
      (shut_out.roles is not null, 'subscriber_without_usage',
        format('%s may read the table but not use the schema %I: that silences Realtime.', shut_out.roles, namespace.nspname),
        format('grant usage on schema %I to %s; or do not let them read (grant_select => false).',
          namespace.nspname, shut_out.roles)),
      (publication.oid is null, 'publication_missing', 'There is no publication supabase_realtime.',
        'create publication supabase_realtime;'),
      (not (publication.pubinsert and publication.pubupdate), 'publication_is_partial',
        'The publication supabase_realtime leaves out inserts or updates.',
        'alter publication supabase_realtime set (publish = ''insert, update, delete, truncate'');'),
      (published.prattrs is not null or published.prqual is not null, 'published_in_part',
        'The table is published with a column list or a row filter, so watchers would miss states.',
        format('alter publication supabase_realtime drop table %s; watch adds it again as a whole.', p_table.relation))
  ) as misfit (applies, name, detail, hint)
  where class.oid = p_table.relation and misfit.applies
$$;

revoke all on function listener.access_misfits(listener.session_tables, boolean, boolean)
from public, anon, authenticated, service_role;

-- public.account_ledger(owner, limit) -> setof (at, entry, amount, balance, key, session, reason)
-- An owner's newest ledger entries, newest first, each with the balance after it. Empty for an owner without an account.
-- Counts back from the account's balance, so its cost is that of the entries it returns.
-- Units: amounts and balances are whole credits; limit is bounded to 1..1000.
create function public.account_ledger(p_owner uuid, p_limit integer default 50)
returns table (
  at timestamptz, entry text, amount integer, balance bigint, key text, session uuid, reason text
)
language sql volatile security invoker
set search_path = ''
as $$
  select
    movement.created_at,
    movement.entry,
    movement.amount,
    account.balance - coalesce(
      sum(movement.amount) over (
        order by movement.created_at desc, movement.id desc rows between unbounded preceding and 1 preceding
      ),
      0
    ),
    movement.key,
    movement.session,
    movement.reason
  from listener.accounts as account
  inner join listener.ledger as movement on account.owner = movement.owner
  where account.owner = p_owner
  order by movement.created_at desc, movement.id desc
  limit least(greatest(coalesce(p_limit, 50), 1), 1000)
$$;

revoke all on function public.account_ledger(uuid, integer) from public, anon, authenticated;
grant execute on function public.account_ledger(uuid, integer) to service_role;

-- public.acquire_permits(worker, kind, count) -> jsonb
-- Allows up to `count` requests to the kind's provider, so that all workers together send no more than its requests_per_minute in
-- any 60 seconds. Answers {"known", "granted", "retry_after_s"}: with fewer granted than asked, when the next one is free.
-- A permit is spent when it is given, used or not: a lost answer makes the limit stricter, never looser.
-- Units: retry_after_s is seconds. known = false: the worker's lease has run out, it may send nothing.
-- Locks:  an advisory lock of the kind's permits, lock before count.
-- Raises: 22023 for a kind that does not exist, or a count that is not 1..1000.
create function public.acquire_permits(p_worker uuid, p_kind text, p_count integer default 1)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_limit integer;
  v_now timestamptz;
  v_used integer;
  v_oldest timestamptz;
  v_granted integer;
begin
  if coalesce(p_count, 0) not between 1 and 1000 then
    raise exception 'permits are asked for by 1 to 1000' using errcode = '22023';
  end if;
  select kind.requests_per_minute into v_limit from listener.kinds as kind where kind.kind = p_kind;
  if not found then
    raise exception 'there is no such kind' using errcode = '22023';
  elsif not listener.live_worker(p_worker) then
    return jsonb_build_object('known', false, 'granted', 0, 'retry_after_s', null);
  elsif v_limit is null then
    return jsonb_build_object('known', true, 'granted', p_count, 'retry_after_s', null);
  end if;

  perform pg_advisory_xact_lock(hashtext('listener.permits'), hashtext(p_kind));
  v_now := listener.clock();
  delete from listener.permits as permit where permit.kind = p_kind and permit.granted_at <= v_now - interval '60 s';
  select coalesce(sum(permit.granted), 0), min(permit.granted_at) into v_used, v_oldest
  from listener.permits as permit
  where permit.kind = p_kind;
  v_granted := least(p_count, greatest(v_limit - v_used, 0));
  if v_granted > 0 then
    insert into listener.permits (kind, worker, granted, granted_at) values (p_kind, p_worker, v_granted, v_now);
  end if;
  return jsonb_build_object(
    'known', true, 'granted', v_granted,
    'retry_after_s', case
      when v_granted < p_count
        then round(extract(epoch from coalesce(v_oldest, v_now) + interval '60 s' - v_now), 3)
    end
  );
end
$$;

revoke all on function public.acquire_permits(uuid, text, integer) from public, anon, authenticated;
grant execute on function public.acquire_permits(uuid, text, integer) to service_role;

-- listener.active_variants(kind) -> (name, overrides, low, high)
-- The active variants of a kind, each with the part of [0, 1) that draws it.
create function listener.active_variants(p_kind text)
returns table (name text, overrides jsonb, low numeric, high numeric)
language sql stable security invoker
set search_path = ''
as $$
  select
    variant.name, variant.overrides,
    (sum(variant.share) over up_to_here - variant.share) / sum(variant.share) over (),
    case
      when lead(variant.name) over by_name is null then 1
      else sum(variant.share) over up_to_here / sum(variant.share) over ()
    end
  from listener.variants as variant
  where variant.kind = p_kind and variant.active
  window by_name as (order by variant.name), up_to_here as (order by variant.name rows unbounded preceding)
$$;

revoke all on function listener.active_variants(text) from public, anon, authenticated, service_role;

-- public.add_artifacts(worker, items) -> setof attempt_outcome
-- Records files that attempts have stored, and shows them at once; the same (session, attempt, name) again replaces it.
-- Items: [{"session", "attempt", "name", "bucket", "path", "thumbnail_path", "width", "height", "size_bytes", "content_type",
--         "url", "expires_at", "facts"}]; facts is an object, optional.
-- Locks:  visible rows, then sessions.
create function public.add_artifacts(p_worker uuid, p_items jsonb)
returns setof listener.attempt_outcome
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_outcomes listener.attempt_outcome[] := listener.fence(p_worker, listener.distinct_attempts(p_items), '{}');
  v_applied uuid[] := listener.applied(v_outcomes);
begin
  perform listener.save_artifacts(v_outcomes, p_items);
  update listener.sessions as session set updated_at = listener.clock() where session.id = any(v_applied);
  perform listener.project(v_applied);
  return query
  select item.session, item.attempt, outcome.outcome, outcome.code, outcome.cancel_requested
  from rows from (jsonb_to_recordset(p_items) as (session uuid, attempt integer)) with ordinality
    as item (session, attempt, ordinal)
  inner join unnest(v_outcomes) as outcome on item.session = outcome.session and item.attempt = outcome.attempt
  order by item.ordinal;
end
$$;

revoke all on function public.add_artifacts(uuid, jsonb) from public, anon, authenticated;
grant execute on function public.add_artifacts(uuid, jsonb) to service_role;

-- listener.add_costs(sessions, items)
-- Adds what attempts came to, [{"session", "attempt", "device_s", "cost_usd"}], both optional, to those sessions that the fence let
-- through: once per attempt, since an attempt is settled once. A completion does the same in its own statement (write_completed).
-- Locks:  none; the caller has locked the sessions.
create function listener.add_costs(p_sessions uuid[], p_items jsonb)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  if not jsonb_path_exists(p_items, '$[*] ? (exists (@.device_s) || exists (@.cost_usd))') then
    return;
  end if;
  update listener.sessions as session
  set
    device_s = case when item.device_s is null then session.device_s else coalesce(session.device_s, 0) + greatest(item.device_s, 0) end,
    cost_usd = case when item.cost_usd is null then session.cost_usd else coalesce(session.cost_usd, 0) + greatest(item.cost_usd, 0) end
  from jsonb_to_recordset(p_items) as item (
    session uuid, attempt integer, device_s double precision, cost_usd double precision
  )
  where session.id = any(p_sessions) and session.id = item.session and session.attempt = item.attempt;
end
$$;

revoke all on function listener.add_costs(uuid[], jsonb) from public, anon, authenticated;
grant execute on function listener.add_costs(uuid[], jsonb) to service_role;

-- listener.add_state_columns(table) -> text[]
-- Adds the mapped columns that the table lacks, and returns their names. Rows that are there keep a null status: a default
-- that came with the column would show them as queued.
-- Locks:  the table, which the caller holds.
create function listener.add_state_columns(p_table listener.session_tables)
returns text[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_column record;
  v_added text[] := '{}'::text[];
begin
  for v_column in
    select pair.value as name, ours.name as state, ours.definition
    from listener.state_columns() as ours
    inner join jsonb_each_text(p_table.columns) as pair on ours.name = pair.key
    where not exists (
      select from pg_catalog.pg_attribute as found
      where found.attrelid = p_table.relation and found.attname = pair.value and not found.attisdropped
    )
    order by ours.name
  loop
    execute format('alter table %s add column %I %s', p_table.relation, v_column.name, v_column.definition);
    if v_column.state in ('status', 'updated_at') then
      execute format(
        'alter table %s alter column %I set default %s', p_table.relation, v_column.name,
        case v_column.state when 'status' then '''queued''' else 'now()' end
      );
    end if;
    v_added := v_added || v_column.name;
  end loop;
  return v_added;
end
$$;

revoke all on function listener.add_state_columns(listener.session_tables) from public, anon, authenticated, service_role;

-- listener.add_triggers(table)
-- Gives a table the triggers of a session table, anew where it has them. For each statement wherever money moves: per row, one
-- owner's bulk insert costs quadratic time. The reset bears zz, since triggers fire by name and it must see the row last.
-- Locks:  the table, which the caller holds.
create function listener.add_triggers(p_table listener.session_tables)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_starts_as jsonb := (
    select jsonb_object_agg(pair.value, ours.starts_as)
    from listener.state_columns() as ours
    inner join jsonb_each_text(p_table.columns) as pair on ours.name = pair.key
    where ours.starts_as is not null
  );
begin
  execute format(
    'create or replace trigger zz_listener_reset before insert on %s for each row execute function listener.reset_state(%L)',
    p_table.relation, v_starts_as
  );
  execute format(
    'create or replace trigger listener_register after insert on %s referencing new table as new_rows '
    'for each statement execute function listener.register_sessions()', p_table.relation
  );
  execute format(
    'create or replace trigger listener_withdraw after delete on %s referencing old table as old_rows '
    'for each statement execute function listener.withdraw_sessions()', p_table.relation
  );
  execute format(
    'create or replace trigger listener_refuse_truncate before truncate on %s '
    'for each statement execute function listener.refuse_truncate()', p_table.relation
  );
end
$$;

revoke all on function listener.add_triggers(listener.session_tables) from public, anon, authenticated, service_role;

-- listener.advance_virtual_time(claimed, kinds) -> integer
-- Moves the virtual time of those kinds of which sessions were just claimed: to the furthest start tag, and by a small drift in
-- any case, without which an owner who alone inserts at the front would hold it still for everybody else (measured: drift 0.05).
-- claimed_at says whose turn it is among kinds; not by listener.clock(), since it only orders claims and must never stand still.
-- Last statement of the claim, because it makes claims of the same kind wait for each other until they commit.
-- Locks:  virtual times, ascending by kind.
create function listener.advance_virtual_time(p_claimed listener.due_session[], p_kinds text[])
returns integer
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
begin
  if cardinality(p_kinds) > 1 then
    perform from listener.virtual_times as stood
    where stood.kind = any(array(select due.kind from unnest(p_claimed) as due))
    order by stood.kind
    for no key update;
  end if;
  update listener.virtual_times as stood
  set
    virtual_time = greatest(stood.virtual_time + 0.05 * claimed.work, claimed.furthest_tag),
    claimed_at = v_now + claimed.last_place * interval '1 us'
  from (
    select due.kind, sum(due.work) as work, max(due.start_tag) as furthest_tag, max(due.place) as last_place
    from unnest(p_claimed) with ordinality as due (session, table_id, row_id, kind, work, start_tag, fair_tag, seq, place)
    group by due.kind
  ) as claimed
  where stood.kind = claimed.kind;
  return cardinality(p_claimed);
end
$$;

revoke all on function listener.advance_virtual_time(listener.due_session[], text[]) from public, anon, authenticated;
grant execute on function listener.advance_virtual_time(listener.due_session[], text[]) to service_role;

-- public.api_key_usage(store, days) -> (day, key, name, requests, refused)
-- How a store's keys were used on the last `days` UTC days, today among them, the newest first.
create function public.api_key_usage(p_store uuid, p_days integer default 30)
returns table (day date, key uuid, name text, requests bigint, refused bigint)
language sql stable security invoker
set search_path = ''
as $$
  select used.day, used.key, used.name, used.requests, used.refused
  from listener.key_usage as used
  where
    used.store = p_store
    and used.day > ((select listener.clock()) at time zone 'utc')::date - least(greatest(coalesce(p_days, 30), 1), 400)
  order by used.day desc, used.name, used.key
$$;

revoke all on function public.api_key_usage(uuid, integer) from public, anon, authenticated;
grant execute on function public.api_key_usage(uuid, integer) to service_role;

-- listener.applied(outcomes) -> uuid[]
-- The sessions among the outcomes that the caller is to write.
create function listener.applied(p_outcomes listener.attempt_outcome[])
returns uuid[]
language plpgsql immutable security invoker
set search_path = ''
as $$
begin
  return array(select item.session from unnest(p_outcomes) as item where item.outcome = 'applied');
end
$$;

revoke all on function listener.applied(listener.attempt_outcome[]) from public, anon, authenticated;
grant execute on function listener.applied(listener.attempt_outcome[]) to service_role;

-- public.authenticate_api_key(hash) -> jsonb
-- Whose key has this SHA-256, and whether it may be used now; an accepted request is counted. Answers {"outcome": "accepted",
-- "key", "store", "per_minute", "remaining", "reset_s", "retry_after_s": null}; limited has the same with retry_after_s;
-- unknown and revoked name no store.
-- The limit holds for any 60 seconds: it counts pieces of 5 s as long as any part of them lies in the window, so it can only
-- be undercut.
-- Units: seconds; reset_s is when the oldest counted requests are forgotten.
-- Locks:  the key, before counting.
create function public.authenticate_api_key(p_hash text)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_key record;
  v_now timestamptz;
  v_used integer;
  v_oldest timestamptz;
  v_reset_s numeric;
  v_answer jsonb;
begin
  select given.key, given.store, given.per_minute, given.revoked_at is not null as is_revoked into v_key
  from listener.api_keys as given
  where given.hash = p_hash
  for no key update;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  elsif v_key.is_revoked then
    return jsonb_build_object('outcome', 'revoked', 'key', v_key.key);
  end if;

  v_now := listener.clock();
  delete from listener.api_key_windows as piece where piece.key = v_key.key and piece.starts_at <= v_now - interval '65 s';
  select coalesce(sum(piece.requests), 0), min(piece.starts_at) into v_used, v_oldest
  from listener.api_key_windows as piece
  where piece.key = v_key.key;
  v_reset_s := round(extract(epoch from coalesce(v_oldest, date_bin('5 s', v_now, 'epoch')) + interval '65 s' - v_now), 3);
  v_answer := jsonb_build_object(
    'key', v_key.key, 'store', v_key.store, 'per_minute', v_key.per_minute, 'reset_s', v_reset_s
  );
  perform listener.count_api_request(v_key.key, v_used < v_key.per_minute, v_now);
  if v_used >= v_key.per_minute then
    return v_answer || jsonb_build_object('outcome', 'limited', 'remaining', 0, 'retry_after_s', v_reset_s);
  end if;
  return v_answer || jsonb_build_object(
    'outcome', 'accepted', 'remaining', v_key.per_minute - v_used - 1, 'retry_after_s', null
  );
end
$$;

revoke all on function public.authenticate_api_key(text) from public, anon, authenticated;
grant execute on function public.authenticate_api_key(text) to service_role;

-- listener.backfill_rows(table) -> integer
-- Makes the rows that stand at queued already sessions, in the order of their ids, and charges their owners; returns how many.
-- Locks:  accounts, ascending owner; the caller holds the table.
-- Raises: 55000 backfill_unpayable, then none is charged.
create function listener.backfill_rows(p_table listener.session_tables)
returns integer
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_rows jsonb[];
begin
  execute format(
    'select array(select to_jsonb(visible) from %1$s as visible where visible.%2$I = ''queued'' order by visible.%3$I)',
    p_table.relation, p_table.columns ->> 'status', p_table.id_column
  ) into v_rows;
  return listener.register_rows(p_table.relation, v_rows);
exception when sqlstate 'PT402' then
  perform listener.refuse_table(p_table.relation, array[row(
    'backfill_unpayable',
    format('Not every owner of the %s queued rows has the credits for his own.', cardinality(v_rows)),
    'Grant credits first, finish or delete rows, or watch without backfill.'
  )]::listener.misfit[]);
  return null;  -- not reached: refuse_table raises
end
$$;

revoke all on function listener.backfill_rows(listener.session_tables) from public, anon, authenticated, service_role;

-- listener.balance_of(owner) -> integer
-- An owner's credits, with the welcome grant that the next session would bring.
create function listener.balance_of(p_owner uuid)
returns integer
language plpgsql stable security invoker
set search_path = ''
as $$
declare
  v_balance integer;
  v_plan text;
  v_is_welcomed boolean;
begin
  select account.balance, account.plan, account.welcomed_at is not null into v_balance, v_plan, v_is_welcomed
  from listener.accounts as account
  where account.owner = p_owner;

  if not coalesce(v_is_welcomed, false) and listener.welcomes_left(coalesce(v_plan, 'free')) > 0 then
    v_balance := coalesce(v_balance, 0) + (
      select plan.welcome_credits from listener.plans as plan where plan.plan = coalesce(v_plan, 'free')
    );
  end if;
  return coalesce(v_balance, 0);
end
$$;

revoke all on function listener.balance_of(uuid) from public, anon, authenticated;
grant execute on function listener.balance_of(uuid) to service_role;

-- listener.bind_tables()
-- Writes the three functions that touch visible rows, one static branch for each watched table: a statement that is put together
-- at each call is also parsed and planned at each call, which cost a third of a claim. Run whenever the registry changes.
--   hold_visible(table, rows, skip_locked) -> (held, gone)  locks rows by id, for no key update as their update needs;
--                                                           gone is null when all were there
--   take_visible(table, due, now) -> uuid[]                 shows the free ones as processing; their sessions
--   write_visible(table, states) -> uuid[]                  shows states, version + 1 each; the ids of the rows it reached
-- Locks:  the registry, against a second run.
create function listener.bind_tables()
returns void
language plpgsql volatile security invoker
set search_path = ''
as $bind$
declare
  v_hold text;
  v_take text;
  v_write text;
begin
  lock table listener.session_tables in share row exclusive mode;
  select
    string_agg(listener.hold_branch(registry.id, registry.relation, registry.id_column), '' order by registry.id),
    string_agg(
      listener.take_branch(registry.id, registry.relation, registry.id_column, registry.columns), '' order by registry.id
    ),
    string_agg(
      listener.write_branch(registry.id, registry.relation, registry.id_column, registry.columns), '' order by registry.id
    )
  into v_hold, v_take, v_write
  from listener.session_tables as registry
  where exists (select from pg_catalog.pg_class as class where class.oid = registry.relation);

  execute format(
    $function$
    create or replace function listener.hold_visible(
      p_table_id integer, p_rows uuid[], p_skip_locked boolean, out held uuid[], out gone uuid[]
    )
    language plpgsql volatile security invoker set search_path = '' as $body$
    begin
      -- Written by listener.bind_tables.
      case p_table_id when 0 then null; %s end case;
    end
    $body$;

    create or replace function listener.take_visible(p_table_id integer, p_due listener.due_session[], p_now timestamptz)
    returns uuid[] language plpgsql volatile security invoker set search_path = '' as $body$
    declare v_shown uuid[];
    begin
      -- Written by listener.bind_tables.
      case p_table_id when 0 then null; %s end case;
      return coalesce(v_shown, '{}'::uuid[]);
    end
    $body$;

    create or replace function listener.write_visible(p_table_id integer, p_states listener.visible_state[])
    returns uuid[] language plpgsql volatile security invoker set search_path = '' as $body$
    declare v_shown uuid[];
    begin
      -- Written by listener.bind_tables.
      case p_table_id when 0 then null; %s end case;
      return coalesce(v_shown, '{}'::uuid[]);
    end
    $body$
    $function$,
    v_hold, v_take, v_write
  );
  revoke all on function listener.hold_visible(integer, uuid[], boolean) from public, anon, authenticated;
  grant execute on function listener.hold_visible(integer, uuid[], boolean) to service_role;
  revoke all on function listener.take_visible(integer, listener.due_session[], timestamptz) from public, anon, authenticated;
  grant execute on function listener.take_visible(integer, listener.due_session[], timestamptz) to service_role;
  revoke all on function listener.write_visible(integer, listener.visible_state[]) from public, anon, authenticated;
  grant execute on function listener.write_visible(integer, listener.visible_state[]) to service_role;
end
$bind$;

revoke all on function listener.bind_tables() from public, anon, authenticated, service_role;

-- listener.bound_characters() trigger, before insert on public.characters, for each row
-- A user has at most 1000 characters: they cost nothing, and nobody shall fill the database with them.
-- Raises: PT403 too_many_characters (HTTP 403).
create function listener.bound_characters()
returns trigger
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  if exists (
    select from public.characters as owned where owned.user_id = new.user_id offset 999 limit 1
  ) then
    raise sqlstate 'PT403' using message = 'too_many_characters', detail = 'A user has at most 1000 characters.';
  end if;
  return new;
end
$$;

revoke all on function listener.bound_characters() from public, anon, authenticated;

-- listener.broadcast_arrivals() trigger, after insert, for each statement, transition table new_rows
-- Tells owners of the sessions that arrived: see tell_states.
-- Security definer: users and workers write rows, but nobody else may send on owners' topics.
create function listener.broadcast_arrivals()
returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform listener.tell_states(tg_relid, array(select to_jsonb(new_rows) from new_rows), null);
  return null;
end
$$;

revoke all on function listener.broadcast_arrivals() from public, anon, authenticated, service_role;

-- listener.broadcast_changes() trigger, after update, for each statement, transition tables old_rows and new_rows
-- Tells owners of the states that changed: see tell_states.
-- Security definer: users and workers write rows, but nobody else may send on owners' topics.
create function listener.broadcast_changes()
returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform listener.tell_states(
    tg_relid, array(select to_jsonb(new_rows) from new_rows), array(select to_jsonb(old_rows) from old_rows)
  );
  return null;
end
$$;

revoke all on function listener.broadcast_changes() from public, anon, authenticated, service_role;

-- listener.cancel_here(sessions) -> integer
-- The database itself cancels open sessions: no worker may write to them any more. Returns the credits given back.
-- Locks:  accounts; visible rows and sessions are locked by the caller.
create function listener.cancel_here(p_sessions uuid[])
returns integer
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := listener.clock();
  v_refunded integer;
begin
  update listener.sessions as session
  set
    status = 'cancelled', worker = null, run_at = null, note = null, finished_at = v_now, updated_at = v_now,
    cancel_requested_at = coalesce(session.cancel_requested_at, v_now)
  where session.id = any(p_sessions);
  v_refunded := listener.refund(p_sessions);
  perform listener.project(p_sessions);
  return v_refunded;
end
$$;

revoke all on function listener.cancel_here(uuid[]) from public, anon, authenticated, service_role;

-- listener.cancel_own_session(row_id) -> jsonb
-- Cancels the caller's session: see cancel_owned.
-- Security definer: users never touch the private schema's tables.
-- Locks:  the visible row, then the session, then the account.
create function listener.cancel_own_session(p_row_id uuid)
returns jsonb
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  return listener.cancel_owned((select auth.uid()), p_row_id);
end
$$;

revoke all on function listener.cancel_own_session(uuid) from public, anon, authenticated;
grant execute on function listener.cancel_own_session(uuid) to authenticated;

-- listener.cancel_owned(owner, row_id) -> jsonb
-- Cancels an owner's session: a waiting one at once, with its credits back; a running one by asking its worker, who hears
-- of it at the next progress or heartbeat. Answers {"outcome": cancelled | requested | already, "refund"}; refund says what comes
-- back: all, or for a running one what its kind's cancel_refund says.
-- Locks:  the visible row, then the session, then the account.
-- Raises: SL002 session_unknown, also for other owners' sessions; SL003 transition_refused once it completed or failed.
create function listener.cancel_owned(p_owner uuid, p_row_id uuid)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_session uuid;
  v_status text;
  v_is_requested boolean;
  v_policy text;
  v_now timestamptz;
begin
  select session.id into v_session
  from listener.sessions as session
  where session.row_id = p_row_id and session.owner = p_owner
  order by session.finished_at nulls first
  limit 1;
  if v_session is null then
    raise exception 'session_unknown' using errcode = 'SL002';
  end if;
  perform listener.hold_rows(array[v_session], false);
  select
    session.status, session.cancel_requested_at is not null,
    (select policy.cancel_refund from listener.kinds as policy where policy.kind = session.kind)
  into v_status, v_is_requested, v_policy
  from listener.sessions as session
  where session.id = v_session
  for no key update;
  v_now := listener.clock();

  if v_status in ('completed', 'failed') then
    raise exception 'transition_refused' using errcode = 'SL003', detail = 'The session is ' || v_status || '.';
  elsif v_status = 'cancelled' or v_is_requested then
    return jsonb_build_object('outcome', 'already');
  elsif v_status = 'processing' then
    update listener.sessions as session set cancel_requested_at = v_now where session.id = v_session;
    return jsonb_build_object('outcome', 'requested', 'refund', v_policy);
  end if;
  update listener.sessions as session
  set status = 'cancelled', run_at = null, cancel_requested_at = v_now, finished_at = v_now, updated_at = v_now
  where session.id = v_session;
  perform listener.refund(array[v_session]);
  perform listener.project(array[v_session]);
  return jsonb_build_object('outcome', 'cancelled', 'refund', 'all');
end
$$;

revoke all on function listener.cancel_owned(uuid, uuid) from public, anon, authenticated;
grant execute on function listener.cancel_owned(uuid, uuid) to service_role;

-- public.cancel_owner_session(owner, row_id) -> jsonb
-- The door of a server that knows by itself who asks (an API key's store): see listener.cancel_owned.
create function public.cancel_owner_session(p_owner uuid, p_row_id uuid)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  return listener.cancel_owned(p_owner, p_row_id);
end
$$;

revoke all on function public.cancel_owner_session(uuid, uuid) from public, anon, authenticated;
grant execute on function public.cancel_owner_session(uuid, uuid) to service_role;

-- public.cancel_session(row_id) -> jsonb
-- A signed-in user's door to listener.cancel_own_session.
create function public.cancel_session(p_row_id uuid)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  return listener.cancel_own_session(p_row_id);
end
$$;

revoke all on function public.cancel_session(uuid) from public, anon, authenticated, service_role;
grant execute on function public.cancel_session(uuid) to authenticated;

-- public.cancel_sessions(worker, items) -> setof attempt_outcome
-- Settles running attempts as cancelled, with the refund that the kind's policy says; items are [{"session", "attempt",
-- "result", "refund"}], both optional: result is shown beside the artifacts that are kept, refund is what the undelivered part cost.
-- With what they came to, see add_costs.
-- Locks:  visible rows, then sessions, then accounts ascending.
create function public.cancel_sessions(p_worker uuid, p_items jsonb)
returns setof listener.attempt_outcome
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_outcomes listener.attempt_outcome[] := listener.fence(p_worker, p_items, '{cancelled}');
  v_applied uuid[] := listener.applied(v_outcomes);
  v_now timestamptz := listener.clock();
begin
  perform listener.add_costs(v_applied, p_items);
  update listener.sessions as session
  set
    status = 'cancelled', note = null, finished_at = v_now, updated_at = v_now,
    result = case when jsonb_typeof(item.result) = 'object' then item.result end,
    refund_due = listener.cancel_share(session.id, item.refund)
  from jsonb_to_recordset(p_items) as item (session uuid, attempt integer, result jsonb, refund integer)
  where session.id = any(v_applied) and session.id = item.session and session.attempt = item.attempt;
  perform listener.refund(v_applied);
  perform listener.project(v_applied);
  return query select item.session, item.attempt, item.outcome, item.code, item.cancel_requested
  from unnest(v_outcomes) as item;
end
$$;

revoke all on function public.cancel_sessions(uuid, jsonb) from public, anon, authenticated;
grant execute on function public.cancel_sessions(uuid, jsonb) to service_role;

-- listener.cancel_share(session, undelivered) -> integer
-- What the user's cancel of a running session gives back, by the kind's policy; null is all. Undelivered is what the worker says,
-- else, once there is an artifact, the part that the progress has not reached. Where a column of the row says how many are paid
-- for, no more comes back than is not stored: a worker may be stopped between storing an image and counting it.
-- Units: p_undelivered and the answer are credits.
create function listener.cancel_share(p_session uuid, p_undelivered integer default null)
returns integer
language sql stable security invoker
set search_path = ''
as $$
  select case
    when policy.cancel_refund = 'all' or session.cost = 0 then null
    when policy.cancel_refund = 'none' then 0
    when p_undelivered >= session.cost then session.cost
    when p_undelivered is not null then least(greatest(p_undelivered, 0), session.cost - stored.cost)
    when not exists (
      select from listener.artifacts as artifact
      where artifact.session = session.id and artifact.attempt = session.attempt
    ) then null
    else session.cost - session.cost * session.progress / 100
  end
  from listener.sessions as session
  inner join listener.kinds as policy on session.kind = policy.kind
  cross join lateral (
    select least(coalesce(sum(registry.credits), 0), session.cost)::integer as cost
    from listener.session_tables as registry
    inner join listener.artifacts as artifact on artifact.session = session.id and artifact.attempt = session.attempt
    where registry.id = session.table_id and registry.credits_column is not null
  ) as stored
  where session.id = p_session
$$;

revoke all on function listener.cancel_share(uuid, integer) from public, anon, authenticated;
grant execute on function listener.cancel_share(uuid, integer) to service_role;

-- listener.charge(sessions)
-- Takes the cost of new sessions from their owners, all or nothing; what the app itself took is not taken again.
-- Locks:  accounts, which open_accounts has locked in ascending order.
-- Raises: PT402 credits_insufficient (HTTP 402); the message is constant because it becomes the HTTP reason phrase.
create function listener.charge(p_sessions uuid[])
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  if exists (
    select from (
      select session.owner, sum(session.cost) as credits
      from listener.sessions as session
      where session.id = any(p_sessions) and not session.paid_by_app
      group by session.owner
    ) as due
    inner join listener.accounts as account on due.owner = account.owner
    where account.balance < due.credits
  ) then
    raise sqlstate 'PT402' using
      message = 'credits_insufficient',
      detail = 'The account has fewer credits than this costs.';
  end if;

  with booked as (
    insert into listener.ledger as entry (key, entry, owner, amount, session, reason, created_at)
    select
      'charge:' || session.id::text, 'charge', session.owner, -session.cost, session.id, session.kind, listener.clock()
    from listener.sessions as session
    where session.id = any(p_sessions) and session.cost > 0 and not session.paid_by_app
    returning entry.owner, entry.amount
  ),
  due as (
    select booked.owner, sum(booked.amount) as amount from booked group by booked.owner
  )
  update listener.accounts as account
  set balance = account.balance + due.amount
  from due
  where account.owner = due.owner;
end
$$;

revoke all on function listener.charge(uuid[]) from public, anon, authenticated;
grant execute on function listener.charge(uuid[]) to service_role;

-- listener.check_rates(owners)
-- Refuses an insert that is more than its owner's plan allows in a minute or a day; p_owners names each arriving row's owner.
-- Exact for every window, not for the calendar's: it asks when the session left the window that makes room.
-- Locks:  none; the caller has locked the accounts before, for who counts first and locks then lets parallel inserts through.
-- Raises: PGRST, which PostgREST turns into 429 with Retry-After; the texts are constant because they reach HTTP unescaped.
create function listener.check_rates(p_owners uuid[])
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := listener.clock();
  v_wait_s integer;
begin
  if not exists (
    select from listener.plans as plan where plan.inserts_per_minute is not null or plan.inserts_per_day is not null
  ) then
    return;
  end if;
  select ceil(max(
    case
      when arriving.sessions > allowance.sessions then allowance.window_s
      else allowance.window_s - extract(epoch from v_now - blocking.created_at)
    end
  )) into v_wait_s
  from (select owner_id, count(*) as sessions from unnest(p_owners) as owner_id group by owner_id) as arriving
  inner join listener.accounts as account on arriving.owner_id = account.owner
  inner join listener.plans as plan on account.plan = plan.plan
  cross join lateral (
    values (60, plan.inserts_per_minute), (86400, plan.inserts_per_day)
  ) as allowance (window_s, sessions)
  left join lateral (
    select session.created_at
    from listener.sessions as session
    where session.owner = account.owner and session.created_at > v_now - make_interval(secs => allowance.window_s)
    order by session.created_at desc
    offset greatest(allowance.sessions - arriving.sessions, 0)
    limit 1
  ) as blocking on true
  where allowance.sessions is not null and (arriving.sessions > allowance.sessions or blocking.created_at is not null);

  if v_wait_s is not null then
    raise sqlstate 'PGRST' using
      message = json_build_object(
        'code', 'PT429', 'message', 'rate_limited', 'details', 'The plan allows no more sessions for now.', 'hint', null
      ),
      detail = json_build_object(
        'status', 429, 'status_text', 'Too Many Requests',
        'headers', json_build_object('Retry-After', greatest(v_wait_s, 1)::text)
      );
  end if;
end
$$;

revoke all on function listener.check_rates(uuid[]) from public, anon, authenticated;

-- public.claim_deliveries(worker, limit) -> (delivery, attempt, store, url, secrets, payload)
-- Takes due deliveries for 60 seconds: nobody else gets them meanwhile, and whoever is lost with them loses them. At most 8 of one
-- store at a time, so that a partner who does not answer holds nobody else up.
-- Locks:  an advisory lock of all claims of deliveries, then the deliveries.
create function public.claim_deliveries(p_worker uuid, p_limit integer)
returns table (delivery uuid, attempt integer, store uuid, url text, secrets text[], payload jsonb)
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_now timestamptz;
begin
  perform pg_advisory_xact_lock(hashtext('listener.deliveries'), 0);
  v_now := listener.clock();
  perform listener.retire_deliveries(v_now);
  return query
  with due as (
    select waiting.id, hook.url, hook.secrets
    from listener.partner_webhooks as hook
    cross join lateral (
      select count(*) as n
      from listener.deliveries as sent
      where sent.store = hook.store and sent.status = 'sending'
    ) as under_way
    cross join lateral (
      select one.id, one.next_at
      from listener.deliveries as one
      where one.store = hook.store and one.status = 'waiting' and one.next_at <= v_now
      order by one.next_at
      limit greatest(8 - under_way.n, 0)
    ) as waiting
    where hook.active
    order by waiting.next_at
    limit least(greatest(p_limit, 0), 100)
  ),
  taken as (
    update listener.deliveries as one
    set
      status = 'sending', attempt = one.attempt + 1, worker = p_worker, claimed_at = v_now, next_at = v_now + interval '60 s'
    from due
    where one.id = due.id
    returning one.id, one.attempt, one.session, one.event, one.store
  )
  select taken.id, taken.attempt, taken.store, due.url, due.secrets, listener.delivery_payload(taken.session, taken.event)
  from taken
  inner join due on taken.id = due.id;
end
$$;

revoke all on function public.claim_deliveries(uuid, integer) from public, anon, authenticated;
grant execute on function public.claim_deliveries(uuid, integer) to service_role;

-- public.claim_sessions(worker, claim_id, kinds, limit) -> (session, attempt, kind, owner, row_id, params, ...)
-- Starts attempts of up to `limit` due sessions of these kinds, in fair order. The same claim_id again gives the same rows, so a
-- call whose answer was lost can be repeated. Empty when nothing is due, or the worker is unknown or its lease has run out.
-- One statement starts the sessions, tells analytics so and answers: none of them is read again.
-- Units: time_limit_s is seconds. path_prefix: every attempt after the first writes to a path of its own.
-- Locks:  sessions and visible rows, skip locked; never waits for them; then virtual times.
create function public.claim_sessions(p_worker uuid, p_claim_id uuid, p_kinds text[], p_limit integer)
returns table (
  session uuid, attempt integer, kind text, owner uuid, row_id uuid, params jsonb, bucket text, path_prefix text,
  request_id text, traceparent text, time_limit_s integer, failures integer, max_attempts integer, created_at timestamptz
)
language plpgsql volatile security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
  v_terms record;
  v_due listener.due_session[];
begin
  perform pg_advisory_xact_lock(hashtextextended(p_claim_id::text, 0));
  v_terms := listener.claim_terms(p_worker, p_claim_id, p_kinds);
  if v_terms.is_repeated then
    return query select repeated.* from listener.repeat_claim(p_worker, p_claim_id) as repeated;
    return;
  elsif v_terms.beat is null then
    return;
  end if;
  v_due := listener.take_due(p_kinds, least(greatest(p_limit, 0), 1000), v_terms.is_limited, v_terms.now);
  if cardinality(v_due) = 0 then
    return;
  end if;

  return query
  with started as (
    update listener.sessions as session
    set
      status = 'processing', attempt = session.attempt + 1, worker = p_worker, claim_id = p_claim_id,
      claimed_beat = v_terms.beat, run_at = null, progress = 0, note = null, started_at = v_terms.now, updated_at = v_terms.now
    from unnest(v_due) with ordinality as due (session, table_id, row_id, kind, work, start_tag, fair_tag, seq, place)
    inner join listener.kinds as policy on due.kind = policy.kind
    inner join listener.session_tables as registry on due.table_id = registry.id
    where session.id = due.session
    returning
      session.id, session.attempt, session.kind, session.owner, session.row_id, session.params, session.request_id,
      session.traceparent, session.time_limit_s, session.failures, session.max_attempts, session.created_at, due.place,
      coalesce(registry.bucket, policy.bucket) as bucket, registry.folder, policy.records_events
  ),
  told as (
    insert into listener.events (session, event, occurrence, kind, owner, properties, at)
    select
      started.id, 'generation_started', started.attempt::text, started.kind, started.owner,
      jsonb_build_object('character_id', started.params ->> 'character_id', 'model', v_terms.models ->> started.kind),
      v_terms.now
    from started
    where started.records_events
  )
  select
    started.id, started.attempt, started.kind, started.owner, started.row_id, started.params, started.bucket,
    replace(
      replace(started.folder, '{owner}', started.owner::text),
      '{character}', translate(coalesce(started.params ->> 'character_id', 'none'), './\', '')
    ) || '/' || started.row_id::text || case when started.attempt > 1 then '.' || started.attempt::text else '' end,
    started.request_id, started.traceparent, started.time_limit_s, started.failures, started.max_attempts, started.created_at
  from started
  order by started.place;
  v_terms.beat := listener.advance_virtual_time(v_due, p_kinds);
end
$$;

revoke all on function public.claim_sessions(uuid, uuid, text[], integer) from public, anon, authenticated;
grant execute on function public.claim_sessions(uuid, uuid, text[], integer) to service_role;

-- listener.claim_terms(worker, claim_id, kinds) -> (now, beat, models, is_limited, is_repeated)
-- On what terms a worker may claim: the number of its heartbeats (null without a lease that holds), the models it registered by
-- kind, whether anything limits how many sessions of an owner or of these kinds run at once, and whether the claim was made before.
-- Security definer: service_role may read only (id, beats) of the published table of workers.
create function listener.claim_terms(
  p_worker uuid, p_claim_id uuid, p_kinds text[],
  out now timestamptz, out beat bigint, out models jsonb, out is_limited boolean, out is_repeated boolean
)
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  now := listener.clock();
  select
    worker.beats, worker.devices -> 'models',
    exists (select from listener.plans as plan where plan.running_at_once is not null)
    or exists (select from listener.kinds as kind where kind.kind = any(p_kinds) and kind.running_at_once is not null),
    exists (
      select from listener.sessions as held
      where held.worker = p_worker and held.claim_id = p_claim_id and held.status = 'processing'
    )
  into beat, models, is_limited, is_repeated
  from (select p_worker as id) as asking
  left join listener.workers as worker
    on asking.id = worker.id and worker.expired_at is null and worker.lease_expires_at > now;
end
$$;

revoke all on function listener.claim_terms(uuid, uuid, text[]) from public, anon, authenticated;
grant execute on function listener.claim_terms(uuid, uuid, text[]) to service_role;

-- listener.column_misfits(table) -> setof misfit
-- Which columns of a table cannot serve as the owner, or to show a session's state.
create function listener.column_misfits(p_table listener.session_tables)
returns setof listener.misfit
language sql stable security invoker
set search_path = ''
as $$
  with mapped as (
    select pair.key as state, pair.value as name, found.*, type.typtype
    from jsonb_each_text(p_table.columns) as pair
    left join pg_catalog.pg_attribute as found
      on found.attrelid = p_table.relation and found.attname = pair.value and found.attnum > 0 and not found.attisdropped
    left join pg_catalog.pg_type as type on found.atttypid = type.oid
  )

  select 'owner_column_missing', format('There is no column %s.', quote_ident(p_table.owner_column)),
    'Name the column that holds the owner: owner_column => ''user_id''.'
  where not exists (
    select from pg_catalog.pg_attribute as owner
    where owner.attrelid = p_table.relation and owner.attname = p_table.owner_column and not owner.attisdropped
  )
  union all
  select 'owner_column_is_not_uuid',
    format('%I is of type %s.', owner.attname, format_type(owner.atttypid, owner.atttypmod)),
    'An owner is a uuid, as auth.uid() gives it.'
  from pg_catalog.pg_attribute as owner
  where owner.attrelid = p_table.relation and owner.attname = p_table.owner_column and owner.atttypid <> 'uuid'::regtype
  union all
  select 'unknown_state_column', format('%I is no state column of ours.', mapped.state),
    'columns => maps our names: ' || (select string_agg(ours.name, ', ') from listener.state_columns() as ours)
  from mapped
  where mapped.state not in (select ours.name from listener.state_columns() as ours)
  union all
  select 'status_or_version_left_out', format('%s is mapped to nothing.', needed.name),
    'Only the other state columns can be left out.'
  from unnest(array['status', 'version']) as needed (name)
  where not p_table.columns ? needed.name
  union all
  select 'column_used_twice', format('%I would hold %s.', mapped.name, string_agg(mapped.state, ' and ')),
    'Map each state column to a column of its own, apart from the key and the owner.'
  from mapped
  group by mapped.name
  having count(*) > 1 or mapped.name in (p_table.id_column, p_table.owner_column)
  union all
  select 'generated_state_column', format('%I computes its own value, so %s cannot be written.', mapped.name, mapped.state),
    format('Map it to another column: columns => ''{"%s": "..."}''.', mapped.state)
  from mapped
  where mapped.attgenerated <> '' or mapped.attidentity <> ''
  union all
  select 'enum_state_column', format('%I is of the enum %s.', mapped.name, format_type(mapped.atttypid, null)),
    format('alter table %s alter column %I type text using %2$I::text;', p_table.relation, mapped.name)
  from mapped
  where mapped.typtype = 'e'
  union all
  select 'version_may_be_null', format('%I may be null, and null + 1 is null.', mapped.name),
    format('alter table %s alter column %I set default 0, alter column %2$I set not null;', p_table.relation, mapped.name)
  from mapped
  where mapped.state = 'version' and not mapped.attnotnull
$$;

revoke all on function listener.column_misfits(listener.session_tables) from public, anon, authenticated, service_role;

-- listener.complete_applied(sessions, items)
-- Settles as completed those sessions that the fence let through, and gives back what a pack did not deliver.
-- Locks:  accounts ascending; the fence has locked visible rows and sessions.
create function listener.complete_applied(p_sessions uuid[], p_items jsonb)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := listener.clock();
begin
  perform listener.write_completed(
    array_agg(item.session), null, array_agg(case when jsonb_typeof(item.result) = 'object' then item.result end),
    array_agg(item.refund), array_agg(item.device_s), array_agg(item.cost_usd), v_now
  )
  from listener.sessions as session
  inner join jsonb_to_recordset(p_items) as item (
    session uuid, attempt integer, result jsonb, refund integer, device_s double precision, cost_usd double precision
  )
    on session.id = item.session and session.attempt = item.attempt
  where session.id = any(p_sessions);
  if jsonb_path_exists(p_items, '$[*].refund ? (@ > 0)') then
    perform listener.refund(p_sessions);
  end if;
  perform listener.project(p_sessions);
end
$$;

revoke all on function listener.complete_applied(uuid[], jsonb) from public, anon, authenticated;
grant execute on function listener.complete_applied(uuid[], jsonb) to service_role;

-- listener.complete_held(worker, items) -> attempt_outcome[]
-- Settles as completed what the worker plainly holds, without locking first. Null, and nothing written, as soon as one item is
-- stale, doubled, settled or to be refunded, its row out of reach, or of another or a broken table: then the fence decides
-- item by item.
-- What was read before the rows were locked still holds if no session was written since, which xmin tells.
-- Read one by one by the primary key (limit 1): the planner would rather read a small table whole, or an index full of settled ones.
-- Locks:  visible rows, in the order of their ids as the fence does, then sessions; waits.
create function listener.complete_held(p_worker uuid, p_items jsonb)
returns listener.attempt_outcome[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_count integer := jsonb_array_length(p_items);
  v_now timestamptz := listener.clock();
  v_held record;
  v_done integer;
begin
  select
    count(*) filter (
      where held.attempt = item.attempt and held.worker = p_worker and held.status = 'processing' and registry.broken_at is null
    ) as count,
    bool_or(item.refund > 0) as has_refund, min(held.table_id) as table_id, max(held.table_id) as last_table_id,
    array_agg(held.id) as sessions, array_agg(held.version) as versions, array_agg(given.result) as results,
    array_agg(item.device_s) as spent_s, array_agg(item.cost_usd) as spent_usd,
    array_agg(
      row(held.id, held.attempt, 'applied', null, held.cancel_requested_at is not null)::listener.attempt_outcome
      order by item.ordinal
    ) as outcomes,
    array_agg(
      row(
        held.row_id, 'completed', 100, null, null, null, null,
        coalesce(given.result, '{}') || jsonb_build_object('artifacts', coalesce((
          select list.artifacts from listener.artifact_lists as list
          where list.session = held.id and list.attempt = held.attempt
        ), '[]')),
        held.started_at, v_now, v_now
      )::listener.visible_state order by held.row_id
    ) as states
  into v_held
  from rows from (
    jsonb_to_recordset(p_items) as (
      session uuid, attempt integer, result jsonb, refund integer, device_s double precision, cost_usd double precision
    )
  ) with ordinality as item (session, attempt, result, refund, device_s, cost_usd, ordinal)
  cross join lateral (
    select
      session.id, session.table_id, session.row_id, session.worker, session.status, session.attempt, session.started_at,
      session.cancel_requested_at, session.xmin as version
    from listener.sessions as session
    where session.id = item.session limit 1
  ) as held
  inner join listener.session_tables as registry on held.table_id = registry.id
  cross join lateral (select case when jsonb_typeof(item.result) = 'object' then item.result end as result) as given;
  if v_held.count <> v_count or v_held.has_refund or v_held.table_id is distinct from v_held.last_table_id then
    return null;
  end if;

  v_done := cardinality(listener.write_visible(v_held.table_id, v_held.states));
  if v_done = v_count then
    v_done := listener.write_completed(v_held.sessions, v_held.versions, v_held.results, null, v_held.spent_s, v_held.spent_usd, v_now);
  end if;
  if v_done <> v_count then
    raise exception 'held_no_longer' using errcode = 'SL000';
  end if;
  return v_held.outcomes;
exception when others then
  if listener.is_transient(sqlstate) then
    raise;
  end if;
  return null;
end
$$;

revoke all on function listener.complete_held(uuid, jsonb) from public, anon, authenticated;
grant execute on function listener.complete_held(uuid, jsonb) to service_role;

-- public.complete_sessions(worker, items) -> setof attempt_outcome
-- Settles attempts as completed; items are [{"session", "attempt", "result", "refund", "device_s", "cost_usd"}]. The credits are
-- kept, but for `refund`: what the undelivered part of a pack cost, at most the charge; optional. device_s and cost_usd are what the
-- attempt came to, where that is known.
-- Locks:  visible rows, then sessions; for a refund, accounts ascending.
create function public.complete_sessions(p_worker uuid, p_items jsonb)
returns setof listener.attempt_outcome
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_outcome listener.attempt_outcome;
  v_outcomes listener.attempt_outcome[] := listener.complete_held(p_worker, p_items);
begin
  if v_outcomes is null then
    v_outcomes := listener.fence(p_worker, p_items, '{completed}');
    perform listener.complete_applied(listener.applied(v_outcomes), p_items);
  end if;
  foreach v_outcome in array v_outcomes loop
    return next v_outcome;
  end loop;
end
$$;

revoke all on function public.complete_sessions(uuid, jsonb) from public, anon, authenticated;
grant execute on function public.complete_sessions(uuid, jsonb) to service_role;

-- public.cost_report(days, by_owner) -> (day, kind, owner, sessions, device_s, cost_usd)
-- What the last `days` UTC days came to, today among them, the newest first; owner is null unless asked for.
-- Units: device_s is seconds of devices of our own, cost_usd US dollars; null where nobody knew.
create function public.cost_report(p_days integer default 7, p_by_owner boolean default false)
returns table (day date, kind text, owner uuid, sessions bigint, device_s double precision, cost_usd double precision)
language sql stable security invoker
set search_path = ''
as $$
  select spent.day, spent.kind, paying.owner, sum(spent.sessions)::bigint, sum(spent.device_s), sum(spent.cost_usd)
  from listener.costs_since(
    ((select listener.clock()) at time zone 'utc')::date - least(greatest(coalesce(p_days, 7), 1), 3660) + 1
  ) as spent
  cross join lateral (select case when p_by_owner then spent.owner end as owner) as paying
  group by spent.day, spent.kind, paying.owner
  order by spent.day desc, spent.kind, sum(spent.cost_usd) desc nulls last, paying.owner
$$;

revoke all on function public.cost_report(integer, boolean) from public, anon, authenticated;
grant execute on function public.cost_report(integer, boolean) to service_role;

-- listener.count_ahead(kind, fair_tag, seq) -> integer
-- How many queued sessions of the kind come before this place; counted up to 1001, whatever the backlog: in order, because the
-- planner would else collect the whole backlog before it counts.
create function listener.count_ahead(p_kind text, p_fair_tag double precision, p_seq bigint)
returns integer
language sql stable security invoker
set search_path = ''
as $$
  select count(*)::integer
  from (
    select
    from listener.sessions as session
    where session.status = 'queued' and session.kind = p_kind and (session.fair_tag, session.seq) < (p_fair_tag, p_seq)
    order by session.fair_tag, session.seq
    limit 1001
  ) as ahead
$$;

revoke all on function listener.count_ahead(text, double precision, bigint) from public, anon, authenticated, service_role;

-- listener.count_api_request(key, is_accepted, now)
-- Writes a request of a key down: for its limit when it was accepted, and for the day in either case.
-- Locks:  none; the caller has locked the key.
create function listener.count_api_request(p_key uuid, p_is_accepted boolean, p_now timestamptz)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  if p_is_accepted then
    insert into listener.api_key_windows as piece (key, starts_at, requests)
    values (p_key, date_bin('5 s', p_now, 'epoch'), 1)
    on conflict (key, starts_at) do update set requests = piece.requests + 1;
    update listener.api_keys as given set last_used_at = p_now where given.key = p_key;
  end if;
  insert into listener.api_key_days as used (key, day, requests, refused)
  values (p_key, (p_now at time zone 'utc')::date, p_is_accepted::integer, (not p_is_accepted)::integer)
  on conflict (key, day) do update set requests = used.requests + excluded.requests, refused = used.refused + excluded.refused;
end
$$;

revoke all on function listener.count_api_request(uuid, boolean, timestamptz) from public, anon, authenticated;
grant execute on function listener.count_api_request(uuid, boolean, timestamptz) to service_role;

-- listener.count_images() trigger, before update on public.generation_jobs, for each row
-- Keeps completed_count at the images that the row shows; what expires after the end was delivered all the same.
create function listener.count_images()
returns trigger
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  if old.status in ('queued', 'processing') then
    new.completed_count := (select count(*) from listener.pictures_of(new.result));
  end if;
  return new;
end
$$;

revoke all on function listener.count_images() from public, anon, authenticated;

-- listener.count_running(also) -> (owner, kind, sessions)
-- How many sessions of each owner and kind run, those in p_also counted as running.
create function listener.count_running(p_also uuid[])
returns table (owner uuid, kind text, sessions bigint)
language sql volatile security invoker
set search_path = ''
as $$
  select held.owner, held.kind, count(*)
  from (
    select session.owner, session.kind from listener.sessions as session where session.status = 'processing'
    union all
    select session.owner, session.kind from listener.sessions as session
    where session.id = any(p_also) and session.status <> 'processing'
  ) as held
  group by held.owner, held.kind
$$;

revoke all on function listener.count_running(uuid[]) from public, anon, authenticated;
grant execute on function listener.count_running(uuid[]) to service_role;

-- public.create_api_key(store, name, hash, prefix, per_minute) -> jsonb
-- Gives a store a key, known by its SHA-256 (64 hex digits) alone: whoever makes the key shows it once. Answers {"key", "store",
-- "name", "prefix", "per_minute", "created_at"}.
-- Units: per_minute is requests in any 60 seconds.
-- Raises: 23503 for a store that is not there; 23505 for a hash that is; 23514 for what is out of bounds.
create function public.create_api_key(p_store uuid, p_name text, p_hash text, p_prefix text, p_per_minute integer default 60)
returns jsonb
language sql volatile security invoker
set search_path = ''
as $$
  insert into listener.api_keys as given (store, name, hash, prefix, per_minute, created_at)
  values (p_store, p_name, p_hash, p_prefix, p_per_minute, listener.clock())
  returning jsonb_build_object(
    'key', given.key, 'store', given.store, 'name', given.name, 'prefix', given.prefix, 'per_minute', given.per_minute,
    'created_at', given.created_at
  )
$$;

revoke all on function public.create_api_key(uuid, text, text, text, integer) from public, anon, authenticated;
grant execute on function public.create_api_key(uuid, text, text, text, integer) to service_role;

-- public.credit_balance() -> integer
-- A signed-in user's door to listener.own_balance.
create function public.credit_balance()
returns integer
language plpgsql stable security invoker
set search_path = ''
as $$
begin
  return listener.own_balance();
end
$$;

revoke all on function public.credit_balance() from public, anon, authenticated, service_role;
grant execute on function public.credit_balance() to authenticated;

-- listener.delivery_delay(failures) -> interval
-- How long a delivery waits after so many failures: 5 s, 30 s, 2 min, 10 min, 30 min, 2 h, 5 h, 10 h, 14 h, each give or take a
-- fifth by chance, so that a partner who comes back is not met by everything at once.
create function listener.delivery_delay(p_failures integer)
returns interval
language sql volatile security invoker
set search_path = ''
as $$
  select make_interval(
    secs => (array[5, 30, 120, 600, 1800, 7200, 18000, 36000, 50400])[least(greatest(p_failures, 1), 9)] * (0.8 + 0.4 * random())
  )
$$;

revoke all on function listener.delivery_delay(integer) from public, anon, authenticated;
grant execute on function listener.delivery_delay(integer) to service_role;

-- listener.delivery_payload(session, event) -> jsonb
-- What a partner is told of a finished session: {"type", "timestamp", "data"}. The state is the one that the visible row shows.
create function listener.delivery_payload(p_session uuid, p_event text)
returns jsonb
language sql stable security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'type', p_event,
    'timestamp', session.finished_at,
    'data', jsonb_build_object(
      'session_id', session.row_id, 'store_id', session.owner, 'kind', session.kind,
      'task_id', session.params -> 'task_id', 'request_id', session.request_id, 'status', state.status,
      'result', state.result, 'error_code', state.error_code, 'error_message', state.error_message,
      'created_at', session.created_at, 'started_at', state.started_at, 'finished_at', session.finished_at
    )
  )
  from listener.sessions as session
  inner join listener.visible_states as state on session.id = state.session
  where session.id = p_session
$$;

revoke all on function listener.delivery_payload(uuid, text) from public, anon, authenticated;
grant execute on function listener.delivery_payload(uuid, text) to service_role;

-- listener.discard(table, rows)
-- Empties the sessions of deleted rows of what their owners wrote and got, but for the variant, which results are compared by; and
-- marks their artifacts for the next cleaning.
-- Locks:  sessions; the caller has locked the open ones.
create function listener.discard(p_table_id integer, p_rows uuid[])
returns void
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  v_sessions uuid[];
begin
  with emptied as (
    update listener.sessions as session
    set
      params = case
        when session.params ? 'variant' then jsonb_build_object('variant', session.params -> 'variant') else '{}'
      end,
      result = null, note = null, error_message = null, error_details = null, traceparent = null
    from (
      select held.id from listener.sessions as held
      where held.row_id = any(p_rows) and held.table_id = p_table_id
      order by held.id
      for no key update
    ) as of_row
    where session.id = of_row.id
    returning session.id
  )
  select array_agg(emptied.id) into v_sessions from emptied;
  update listener.artifacts as artifact
  set discarded_at = listener.clock()
  where artifact.session = any(v_sessions) and artifact.discarded_at is null;
end
$$;

revoke all on function listener.discard(integer, uuid[]) from public, anon, authenticated, service_role;

-- listener.distinct_attempts(items) -> jsonb
-- The (session, attempt) pairs of items, each once: several artifacts of one attempt share one fence.
create function listener.distinct_attempts(p_items jsonb)
returns jsonb
language sql immutable security invoker
set search_path = ''
as $$
  select coalesce(jsonb_agg(distinct jsonb_build_object('session', item.session, 'attempt', item.attempt)), '[]')
  from jsonb_to_recordset(p_items) as item (session uuid, attempt integer)
$$;

revoke all on function listener.distinct_attempts(jsonb) from public, anon, authenticated;
grant execute on function listener.distinct_attempts(jsonb) to service_role;

-- listener.drop_artifacts(sessions, objects) -> (bucket, path, is_fading)
-- Deletes the artifacts of these sessions that are due and lie in these objects, and answers all their objects; is_fading: its
-- row showed it until now.
-- Security definer: nobody else may delete from this table.
-- Locks:  none; the caller has locked visible rows and sessions.
create function listener.drop_artifacts(p_sessions uuid[], p_objects jsonb)
returns table (session uuid, bucket text, path text, is_fading boolean)
language sql volatile security definer
set search_path = ''
as $$
  with due as (
    select candidate.session, candidate.attempt, candidate.name, candidate.reason
    from listener.due_artifacts as candidate
    where
      candidate.session = any(p_sessions) and candidate.due_at <= (select listener.clock()) and not listener.is_named(candidate.bucket, candidate.path)
      and (candidate.bucket, candidate.path) in (
        select given.bucket, given.path from jsonb_to_recordset(p_objects) as given (bucket text, path text)
      )
  ),
  dropped as (
    delete from listener.artifacts as artifact
    using due
    where artifact.session = due.session and artifact.attempt = due.attempt and artifact.name = due.name
    returning artifact.session, artifact.bucket, artifact.path, artifact.thumbnail_path, due.reason = 'kept_long_enough' as is_fading
  )

  select dropped.session, dropped.bucket, dropped.path, dropped.is_fading from dropped
  union all
  select dropped.session, dropped.bucket, dropped.thumbnail_path, dropped.is_fading from dropped
  where dropped.thumbnail_path is not null
$$;

revoke all on function listener.drop_artifacts(uuid[], jsonb) from public, anon, authenticated;
grant execute on function listener.drop_artifacts(uuid[], jsonb) to service_role;

-- listener.drop_webhook(url) -> boolean
-- Sends this URL nothing any more; false when nothing was sent there. Its argument bears no p_: people type its name.
create function listener.drop_webhook(url text)
returns boolean
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  delete from listener.webhooks as hook where hook.url = drop_webhook.url;
  return found;
end
$$;

revoke all on function listener.drop_webhook(text) from public, anon, authenticated, service_role;

-- listener.dry_run(table)
-- Walks probe rows of a registered table through every state, by the projection itself, and rolls all of it back; see probe_walks.
-- Locks:  the table, which the caller holds.
-- Raises: 55000 state_refused, with the state and the database's own words.
create function listener.dry_run(p_table listener.session_tables)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_walk record;
  v_probe uuid;
  v_misfit text;
  v_triggers text[] := array(
    select given.tgname from pg_catalog.pg_trigger as given
    where given.tgrelid = p_table.relation and not given.tgisinternal and given.tgenabled in ('O', 'A')
  );
begin
  begin
    update listener.session_tables as known set broken_at = null, broken_reason = null where known.id = p_table.id;
    perform listener.loosen_table(p_table);
    for v_walk in select walk.states, walk.role, walk.is_copy from listener.probe_walks() as walk loop
      v_probe := gen_random_uuid();
      perform listener.switch_triggers(p_table.relation, v_triggers, false);
      v_misfit := listener.insert_probe(p_table, v_probe, v_walk.is_copy);
      exit when v_misfit is not null;
      perform listener.switch_triggers(p_table.relation, v_triggers, v_walk.is_copy);
      v_misfit := listener.walk_states(p_table, v_probe, v_walk.states, v_walk.role);
      exit when v_misfit is not null;
    end loop;
    raise exception 'the dry run is over' using errcode = 'ZZ000';
  exception when sqlstate 'ZZ000' then
    null;
  end;
  if v_misfit is not null then
    perform listener.refuse_table(p_table.relation, array[row(
      'state_refused', v_misfit,
      'Let its constraints, types and triggers accept every state, or map the column elsewhere: columns => ''{"progress": "..."}''.'
    )]::listener.misfit[]);
  end if;
end
$$;

revoke all on function listener.dry_run(listener.session_tables) from public, anon, authenticated, service_role;

-- listener.due_and_fitting(kinds, limit, taken) -> setof uuid
-- The next due sessions in the order of due_sessions that the limits let run beside what runs and p_taken. It may give fewer than
-- there are, since one owner's rows can hide the next one's: ask again with what it gave until it gives nothing.
-- Locks:  sessions, skip locked; the caller keeps other claims away.
create function listener.due_and_fitting(p_kinds text[], p_limit integer, p_taken uuid[])
returns setof uuid
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_full uuid[] := listener.full_owners(p_taken);
begin
  return query
  with running as (
    select counted.owner, counted.kind, counted.sessions from listener.count_running(p_taken) as counted
  ),
  candidate as (
    select due.id, due.owner, due.rank, wanted.kind, wanted.ord
    from unnest(p_kinds) with ordinality as wanted (kind, ord)
    cross join lateral (
      select next.id, next.owner, row_number() over () as rank
      from (
        select session.id, session.owner
        from listener.sessions as session
        where
          session.status = 'queued'
          and session.kind = wanted.kind
          -- Wrapped: as plain conditions they make the planner expect one row and sort the backlog.
          and (select session.owner <> all(v_full) and session.id <> all(p_taken))
          and (
            select registry.broken_at is null
            from listener.session_tables as registry
            where registry.id = session.table_id
          )
        order by session.fair_tag, session.seq
        limit p_limit
        for no key update of session skip locked
      ) as next
    ) as due
  ),
  owned as (
    select
      candidate.id, candidate.rank, candidate.kind, candidate.ord, plan.running_at_once,
      coalesce((select sum(running.sessions) from running where running.owner = candidate.owner), 0)
      + row_number() over (partition by candidate.owner order by candidate.rank, candidate.ord) as nth_of_owner
    from candidate
    inner join listener.accounts as account on candidate.owner = account.owner
    inner join listener.plans as plan on account.plan = plan.plan
  ),
  fitting as (
    select
      owned.id, owned.rank, owned.ord, policy.running_at_once, stood.claimed_at,
      coalesce((select sum(running.sessions) from running where running.kind = owned.kind), 0)
      + row_number() over (partition by owned.kind order by owned.rank) as nth_of_kind
    from owned
    inner join listener.kinds as policy on owned.kind = policy.kind
    inner join listener.virtual_times as stood on owned.kind = stood.kind
    where owned.running_at_once is null or owned.nth_of_owner <= owned.running_at_once
  )
  select fitting.id
  from fitting
  where fitting.running_at_once is null or fitting.nth_of_kind <= fitting.running_at_once
  order by fitting.rank, fitting.claimed_at nulls first, fitting.ord
  limit p_limit;
end
$$;

revoke all on function listener.due_and_fitting(text[], integer, uuid[]) from public, anon, authenticated;
grant execute on function listener.due_and_fitting(text[], integer, uuid[]) to service_role;

-- listener.due_of_kind(kind, limit) -> due_session[]
-- Locks the next sessions of one kind in fair order, whatever the backlog: by tens, then one by one. With a constant limit the
-- cached plan reads the index in order; with an unknown one the planner sorts the backlog, or plans again at each call.
-- A condition on broken tables as `table_id <> all(...)` would make it expect one row and sort it all, too.
-- Locks:  sessions, skip locked; never waits.
create function listener.due_of_kind(p_kind text, p_limit integer)
returns listener.due_session[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_due listener.due_session[] := '{}'::listener.due_session[];
  v_next listener.due_session[];
  v_tag double precision := '-infinity'::double precision;
  v_seq bigint := 0;
begin
  while cardinality(v_due) < p_limit loop
    if p_limit - cardinality(v_due) >= 10 then
      v_next := array(
        select
          row(
            session.id, session.table_id, session.row_id, session.kind, session.work, session.start_tag, session.fair_tag,
            session.seq
          )::listener.due_session
        from listener.sessions as session
        where
          session.status = 'queued' and session.kind = p_kind and (session.fair_tag, session.seq) > (v_tag, v_seq)
          and (select broken_at is null from listener.session_tables as registry where registry.id = session.table_id)
        order by session.fair_tag, session.seq
        limit 10
        for no key update of session skip locked
      );
    else
      v_next := array(
        select
          row(
            session.id, session.table_id, session.row_id, session.kind, session.work, session.start_tag, session.fair_tag,
            session.seq
          )::listener.due_session
        from listener.sessions as session
        where
          session.status = 'queued' and session.kind = p_kind and (session.fair_tag, session.seq) > (v_tag, v_seq)
          and (select broken_at is null from listener.session_tables as registry where registry.id = session.table_id)
        order by session.fair_tag, session.seq
        limit 1
        for no key update of session skip locked
      );
    end if;
    exit when cardinality(v_next) = 0;
    v_due := v_due || v_next;
    v_tag := v_next[cardinality(v_next)].fair_tag;
    v_seq := v_next[cardinality(v_next)].seq;
  end loop;
  return v_due;
end
$$;

revoke all on function listener.due_of_kind(text, integer) from public, anon, authenticated;
grant execute on function listener.due_of_kind(text, integer) to service_role;

-- listener.due_sessions(kinds, limit) -> due_session[]
-- Locks the next sessions of each kind in fair order and merges the kinds by rank, since tags of two kinds do not compare; the
-- kind that was claimed last comes last, else a worker with one free slot would take the first kind for ever.
-- Locks:  sessions, skip locked; never waits.
create function listener.due_sessions(p_kinds text[], p_limit integer)
returns listener.due_session[]
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  if cardinality(p_kinds) = 1 then
    return listener.due_of_kind(p_kinds[1], p_limit);
  end if;
  return array(
    select
      row(due.session, due.table_id, due.row_id, due.kind, due.work, due.start_tag, due.fair_tag, due.seq)::listener.due_session
    from unnest(p_kinds) with ordinality as wanted (kind, ord)
    cross join lateral unnest(listener.due_of_kind(wanted.kind, p_limit))
      with ordinality as due (session, table_id, row_id, kind, work, start_tag, fair_tag, seq, rank)
    left join listener.virtual_times as stood on wanted.kind = stood.kind
    order by due.rank, stood.claimed_at nulls first, wanted.ord
    limit p_limit
  );
end
$$;

revoke all on function listener.due_sessions(text[], integer) from public, anon, authenticated;
grant execute on function listener.due_sessions(text[], integer) to service_role;

-- listener.due_within_limits(kinds, limit) -> uuid[]
-- What due_sessions does, for projects that limit how many sessions of an owner or a kind run at once: what must wait is passed
-- over. Claims wait for each other here, lock before count: two that counted at once would both see the last free place.
-- Locks:  an advisory lock of its own, waits; then sessions, skip locked.
create function listener.due_within_limits(p_kinds text[], p_limit integer)
returns uuid[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_due uuid[] := '{}'::uuid[];
  v_more uuid[];
begin
  perform pg_advisory_xact_lock(hashtext('listener'), hashtext('running_at_once'));
  loop
    v_more := array(
      select fitting from listener.due_and_fitting(p_kinds, p_limit - cardinality(v_due), v_due) as fitting
    );
    v_due := v_due || v_more;
    exit when cardinality(v_more) = 0 or cardinality(v_due) >= p_limit;
  end loop;
  return v_due;
end
$$;

revoke all on function listener.due_within_limits(text[], integer) from public, anon, authenticated;
grant execute on function listener.due_within_limits(text[], integer) to service_role;

-- listener.end_deliveries(items, now) -> uuid[]
-- Writes what came of deliveries that are being sent, if the attempt is their last, and returns those: see settle_deliveries.
-- Locks:  deliveries, which the caller has locked.
create function listener.end_deliveries(p_items jsonb, p_now timestamptz)
returns uuid[]
language sql volatile security invoker
set search_path = ''
as $$
  with told as (
    select distinct on (item.delivery)
      item.*,
      greatest(
        listener.delivery_delay(one.failures + 1),
        make_interval(secs => least(greatest(item.retry_after_s, 0), 86400))
      ) as delay,
      item.outcome in ('delivered', 'refused', 'gone') or (item.outcome = 'retry' and one.failures >= 9) as is_over
    from jsonb_to_recordset(p_items) as item (
      delivery uuid, attempt integer, outcome text, status integer, error text, retry_after_s double precision
    )
    inner join listener.deliveries as one on item.delivery = one.id and item.attempt = one.attempt and one.status = 'sending'
    order by item.delivery
  ),
  settled as (
    update listener.deliveries as one
    set
      status = case when told.outcome = 'delivered' then 'delivered' when told.is_over then 'dead' else 'waiting' end,
      ended_at = case when told.is_over then p_now end,
      failures = one.failures + (told.outcome not in ('delivered', 'released'))::integer,
      next_at = case told.outcome when 'retry' then p_now + told.delay else p_now end,
      worker = null,
      last_status = told.status,
      last_error = left(told.error, 500)
    from told
    where one.id = told.delivery
    returning one.id
  )
  select coalesce(array_agg(settled.id), '{}') from settled
$$;

revoke all on function listener.end_deliveries(jsonb, timestamptz) from public, anon, authenticated;
grant execute on function listener.end_deliveries(jsonb, timestamptz) to service_role;

-- listener.enlist_worker(worker, name, kinds, slots, devices, version, lease_s) -> integer
-- Writes a worker's row and starts its lease; returns the lease, bounded to 2..300 s.
-- Security definer: see tables/workers.sql.
-- Locks:  the worker's row.
create function listener.enlist_worker(
  p_worker uuid, p_name text, p_kinds text[], p_slots integer, p_devices jsonb, p_version text, p_lease_s integer
)
returns integer
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  v_lease_s integer := least(greatest(coalesce(p_lease_s, 30), 2), 300);
  v_now timestamptz := listener.clock();
begin
  insert into listener.workers as worker (
    id, name, kinds, slots, devices, version, lease_s, started_at, lease_expires_at
  )
  values (
    p_worker, p_name, p_kinds, p_slots, coalesce(p_devices, '{}'), p_version, v_lease_s, v_now,
    v_now + make_interval(secs => v_lease_s)
  )
  on conflict (id) do update set
    name = excluded.name, kinds = excluded.kinds, slots = excluded.slots, devices = excluded.devices,
    version = excluded.version, lease_s = excluded.lease_s, beats = worker.beats + 1,
    lease_expires_at = excluded.lease_expires_at, expired_at = null;
  return v_lease_s;
end
$$;

revoke all on function listener.enlist_worker(uuid, text, text[], integer, jsonb, text, integer)
from public, anon, authenticated;
grant execute on function listener.enlist_worker(uuid, text, text[], integer, jsonb, text, integer) to service_role;

-- listener.enter_sessions(table, rows, owners) -> uuid[]
-- Writes the sessions of arriving rows, in their order, each with the variant that its id draws; params is the row without its
-- state. `variant` is a reserved key: what a row has under that name is dropped, so that nobody chooses his own overrides.
-- Locks:  none; the caller has locked the owners' accounts.
create function listener.enter_sessions(p_table listener.session_tables, p_rows jsonb[], p_owners uuid[])
returns uuid[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_sessions uuid[];
  v_units integer[] := array(
    select case when p_table.credits_column is null then 1 else (fields ->> p_table.credits_column)::integer end
    from unnest(p_rows) as fields
  );
  v_hidden text[] := array(select pair.value from jsonb_each_text(p_table.columns) as pair) || array['variant'];
  v_request_id text := listener.request_header('x-request-id');
begin
  with arriving as (
    select given.fields, given.units, given.ordinal, gen_random_uuid() as session
    from unnest(p_rows, v_units) with ordinality as given (fields, units, ordinal)
  ),
  registered as (
    insert into listener.sessions as session (
      id, table_id, row_id, kind, owner, params, variant, cost, paid_by_app, tells_partner, work, start_tag, fair_tag,
      max_attempts, time_limit_s, request_id, traceparent, created_at, updated_at
    )
    select
      arriving.session, p_table.id, (arriving.fields ->> p_table.id_column)::uuid, kind.kind,
      (arriving.fields ->> p_table.owner_column)::uuid,
      arriving.fields - v_hidden || case
        when drawn.name is null then '{}'
        else jsonb_build_object('variant', jsonb_build_object('name', drawn.name, 'overrides', drawn.overrides))
      end,
      drawn.name,
      p_table.credits * arriving.units,
      p_table.on_refund is not null, p_table.tells_partner,
      kind.work * greatest(arriving.units, 1), turn.start_tag, turn.fair_tag, kind.max_attempts, kind.time_limit_s,
      coalesce(substring(arriving.fields ->> 'request_id' from '^[\x21-\x7e]{1,200}$'), v_request_id, gen_random_uuid()::text),
      listener.request_header('traceparent'), stamp.clock, stamp.clock
    from arriving
    inner join listener.take_turns(p_table.kind, p_owners, array(select greatest(unit, 1) from unnest(v_units) as unit)) as turn
      on arriving.ordinal = turn.ordinal
    inner join listener.kinds as kind on kind.kind = p_table.kind
    cross join listener.clock() as stamp (clock)
    left join listener.active_variants(p_table.kind) as drawn
      on listener.lot(arriving.session) >= drawn.low and listener.lot(arriving.session) < drawn.high
    order by arriving.ordinal
    returning session.id
  )
  select array_agg(registered.id) into v_sessions from registered;
  return v_sessions;
end
$$;

revoke all on function listener.enter_sessions(listener.session_tables, jsonb[], uuid[]) from public, anon, authenticated, service_role;

-- listener.enter_table(table) -> integer
-- Writes a table into the registry and returns its id.
create function listener.enter_table(p_table listener.session_tables)
returns integer
language sql volatile security invoker
set search_path = ''
as $$
  insert into listener.session_tables as known (relation, kind, id_column, owner_column, columns, credits, on_refund)
  values (
    p_table.relation, p_table.kind, p_table.id_column, p_table.owner_column, p_table.columns, p_table.credits,
    p_table.on_refund
  )
  returning known.id
$$;

revoke all on function listener.enter_table(listener.session_tables) from public, anon, authenticated, service_role;

-- listener.error_details(code, details, now) -> jsonb
-- What the visible row's error_details shows: at least the type and the time, then what the worker gave.
create function listener.error_details(p_code text, p_details jsonb, p_now timestamptz)
returns jsonb
language sql immutable security invoker
set search_path = ''
as $$
  select jsonb_build_object('type', p_code, 'timestamp', p_now at time zone 'utc')
    || case when jsonb_typeof(p_details) = 'object' then p_details else '{}' end
$$;

revoke all on function listener.error_details(text, jsonb, timestamptz) from public, anon, authenticated;
grant execute on function listener.error_details(text, jsonb, timestamptz) to service_role;

-- listener.estimate(session, ahead) -> jsonb
-- How long a session will still take, {"estimate_s", "estimate_basis", "reason"}: from the mean of the kind's last 50 completed
-- sessions of the last day and the slots of live workers. See queue_status_of for the reasons why there is none.
-- Units: estimate_basis is {"sessions", "mean_s", "slots"}; seconds.
create function listener.estimate(p_session listener.sessions, p_ahead integer)
returns jsonb
language plpgsql stable security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := listener.clock();
  v_basis record;
  v_slots numeric;
  v_running integer;
  v_estimate_s numeric;
  v_reason text := listener.estimate_obstacle(p_session, p_ahead);
begin
  if v_reason is not null then
    return jsonb_build_object('estimate_s', null, 'estimate_basis', null, 'reason', v_reason);
  end if;
  select count(*) as sessions, avg(recent.duration_s) as mean_s into v_basis
  from (
    select extract(epoch from done.finished_at - done.started_at) as duration_s
    from listener.sessions as done
    where done.status = 'completed' and done.kind = p_session.kind and done.finished_at > v_now - interval '1 day'
    order by done.finished_at desc
    limit 50
  ) as recent;

  select count(*), least(policy.running_at_once, listener.live_slots(p_session.kind)) into v_running, v_slots
  from listener.kinds as policy
  left join listener.sessions as session on policy.kind = session.kind and session.status = 'processing'
  where policy.kind = p_session.kind
  group by policy.kind;

  if p_session.status = 'processing' then
    v_estimate_s := v_basis.mean_s - extract(epoch from v_now - p_session.started_at);
    v_reason := case when v_basis.sessions = 0 then 'no_measurements' when v_estimate_s <= 0 then 'longer_than_usual' end;
  elsif v_slots > 0 then
    v_estimate_s := v_basis.mean_s * (1 + greatest(p_ahead + v_running + 1 - v_slots, 0) / v_slots);
    v_reason := case when v_basis.sessions = 0 then 'no_measurements' end;
  else
    v_reason := 'no_worker';
  end if;
  return jsonb_build_object(
    'estimate_s', case when v_reason is null then ceil(v_estimate_s)::integer end,
    'estimate_basis', case
      when v_reason is null
        then jsonb_build_object('sessions', v_basis.sessions, 'mean_s', round(v_basis.mean_s, 1), 'slots', round(v_slots, 1))
    end,
    'reason', v_reason
  );
end
$$;

revoke all on function listener.estimate(listener.sessions, integer) from public, anon, authenticated, service_role;

-- listener.estimate_obstacle(session, ahead) -> text
-- Why nobody can say how long the session will still take, before anything is measured; else null.
create function listener.estimate_obstacle(p_session listener.sessions, p_ahead integer)
returns text
language plpgsql stable security invoker
set search_path = ''
as $$
begin
  return case
    when p_session.finished_at is not null then 'finished'
    when p_session.status = 'delayed' then 'waiting_to_retry'
    when p_ahead > 1000 then 'queue_too_long'
    when p_session.status = 'processing' and not listener.live_worker(p_session.worker) then 'interrupted'
    when p_session.status <> 'queued' then null
    when (
      select registry.broken_at is not null from listener.session_tables as registry where registry.id = p_session.table_id
    ) then 'out_of_order'
    when (select policy.running_at_once = 0 from listener.kinds as policy where policy.kind = p_session.kind) then 'paused'
    when p_session.owner = any(listener.full_owners('{}'::uuid[])) then 'own_limit'
  end;
end
$$;

revoke all on function listener.estimate_obstacle(listener.sessions, integer) from public, anon, authenticated, service_role;

-- listener.expire_workers(limit) -> setof uuid
-- Marks workers whose lease ran out, and returns them with those marked before that still hold sessions.
-- Marked, not deleted: a DELETE of a published row is seen by every subscriber.
-- Security definer: see tables/workers.sql.
-- Locks:  the workers' rows, skip locked, until the sweep commits.
create function listener.expire_workers(p_limit integer)
returns setof uuid
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  v_now timestamptz := listener.clock();
  v_lost uuid[];
begin
  v_lost := array(
    select worker.id
    from listener.workers as worker
    where
      worker.lease_expires_at <= v_now
      and (
        worker.expired_at is null
        or worker.id in (select session.worker from listener.sessions as session where session.status = 'processing')
      )
    order by worker.lease_expires_at
    limit p_limit
    for no key update skip locked
  );
  update listener.workers as worker
  set expired_at = v_now
  where worker.id = any(v_lost) and worker.expired_at is null;
  return query select lost.id from unnest(v_lost) as lost (id);
end
$$;

revoke all on function listener.expire_workers(integer) from public, anon, authenticated;
grant execute on function listener.expire_workers(integer) to service_role;

-- public.expired_artifacts(limit) -> (bucket, path, size_bytes, reason)
-- Objects, thumbnails too, of up to `limit` artifacts that may go: of deleted rows, kept for their kind's keep_days, and for their
-- bucket's keep_hours. Changes nothing, so it is the dry run as well; forget_artifacts comes next. What was never delivered is
-- found by orphaned_objects. By the hour is looked for by the artifacts' own age: their sessions stay, and would pile up before them.
-- Units: size_bytes is null for a thumbnail.
create function public.expired_artifacts(p_limit integer default 100)
returns table (bucket text, path text, size_bytes bigint, reason text)
language sql stable security invoker
set search_path = ''
as $$
  with due as (
    (
      select discarded.bucket, discarded.path, discarded.thumbnail_path, discarded.size_bytes, discarded.reason
      from listener.due_artifacts as discarded
      where discarded.discarded_at is not null and not listener.is_named(discarded.bucket, discarded.path)
      order by discarded.discarded_at
      limit least(greatest(p_limit, 0), 1000)
    )
    union all
    (
      select old.bucket, old.path, old.thumbnail_path, old.size_bytes, old.reason
      from listener.kinds as policy
      cross join lateral (
        select kept.*
        from listener.due_artifacts as kept
        where
          kept.kind = policy.kind and kept.finished_at < (select listener.clock()) - make_interval(days => policy.keep_days)
          and kept.discarded_at is null and not listener.is_named(kept.bucket, kept.path)
        order by kept.finished_at
        limit least(greatest(p_limit, 0), 1000)
      ) as old
      where policy.keep_days is not null
    )
    union
    (
      select old.bucket, old.path, old.thumbnail_path, old.size_bytes, old.reason
      from listener.retentions as policy
      cross join lateral (
        select kept.*
        from listener.due_artifacts as kept
        where
          kept.bucket = policy.bucket and kept.discarded_at is null
          and kept.saved_at < (select listener.clock()) - make_interval(secs => 3600 * policy.keep_hours)
          and kept.due_at < (select listener.clock())
          and not listener.is_named(kept.bucket, kept.path)
        order by kept.saved_at
        limit least(greatest(p_limit, 0), 1000)
      ) as old
    )
    limit least(greatest(p_limit, 0), 1000)
  )

  select due.bucket, due.path, due.size_bytes, due.reason from due
  union all
  select due.bucket, due.thumbnail_path, null, due.reason from due
  where due.thumbnail_path is not null
$$;

revoke all on function public.expired_artifacts(integer) from public, anon, authenticated;
grant execute on function public.expired_artifacts(integer) to service_role;

-- listener.fail_here(sessions, code, message)
-- The database itself fails sessions: no worker may write to them any more, and their credits go back.
-- Locks:  accounts; visible rows and sessions are locked by the caller.
create function listener.fail_here(p_sessions uuid[], p_code text, p_message text)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := listener.clock();
begin
  if cardinality(p_sessions) = 0 then
    return;
  end if;
  update listener.sessions as session
  set
    status = 'failed', worker = null, run_at = null, finished_at = v_now, updated_at = v_now,
    error_code = p_code, error_message = p_message, error_details = listener.error_details(p_code, null, v_now)
  where session.id = any(p_sessions);
  perform listener.refund(p_sessions);
  perform listener.record_events(p_sessions, 'generation_failed');
  perform listener.project(p_sessions);
end
$$;

revoke all on function listener.fail_here(uuid[], text, text) from public, anon, authenticated;
grant execute on function listener.fail_here(uuid[], text, text) to service_role;

-- public.fail_sessions(worker, items) -> setof attempt_outcome
-- Settles attempts as failed for good and gives the credits back; items are [{"session", "attempt", "code", "message",
-- "details"}], with what they came to, see add_costs.
-- Locks:  visible rows, then sessions, then accounts ascending.
create function public.fail_sessions(p_worker uuid, p_items jsonb)
returns setof listener.attempt_outcome
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_outcomes listener.attempt_outcome[] := listener.fence(p_worker, p_items, '{failed}');
  v_applied uuid[] := listener.applied(v_outcomes);
  v_now timestamptz := listener.clock();
begin
  perform listener.add_costs(v_applied, p_items);
  update listener.sessions as session
  set
    status = 'failed', failures = session.failures + 1, note = null, finished_at = v_now, updated_at = v_now,
    error_code = item.code, error_message = item.message,
    error_details = listener.error_details(item.code, item.details, v_now)
  from listener.read_failures(p_items) as item
  where session.id = any(v_applied) and session.id = item.session and session.attempt = item.attempt;
  perform listener.refund(v_applied);
  perform listener.record_events(v_applied, 'generation_failed');
  perform listener.project(v_applied);
  return query select item.session, item.attempt, item.outcome, item.code, item.cancel_requested
  from unnest(v_outcomes) as item;
end
$$;

revoke all on function public.fail_sessions(uuid, jsonb) from public, anon, authenticated;
grant execute on function public.fail_sessions(uuid, jsonb) to service_role;

-- listener.fault_of_table(table) -> text
-- Why a watched table is out of service, or will be as soon as a state is to be shown: marked broken, dropped, or without a column
-- that the registry names. Null when nothing is known against it.
create function listener.fault_of_table(p_table listener.session_tables)
returns text
language sql stable security invoker
set search_path = ''
as $$
  select case
    when p_table.broken_reason is not null then p_table.broken_reason
    when not exists (select from pg_catalog.pg_class as class where class.oid = p_table.relation) then 'the table was dropped'
    when lost.columns is not null then format('the table has no column %s', lost.columns)
  end
  from (
    select string_agg(named.name, ', ' order by named.name) as columns
    from (
      select pair.value as name from jsonb_each_text(p_table.columns) as pair
      union
      select unnest(array[p_table.id_column, p_table.owner_column])
    ) as named
    where not exists (
      select from pg_catalog.pg_attribute as present
      where present.attrelid = p_table.relation and present.attname = named.name and not present.attisdropped
    )
  ) as lost
$$;

revoke all on function listener.fault_of_table(listener.session_tables) from public, anon, authenticated;
grant execute on function listener.fault_of_table(listener.session_tables) to service_role;

-- listener.fence(worker, items, settled) -> attempt_outcome[]
-- Locks the sessions of [{"session", "attempt"}] and tells for each item, in order, whether the worker may write:
-- applied while it holds the attempt; already when the session stands in one of p_settled by the same attempt, or the item
-- came twice; else refused. A stale item never raises: it must not roll back its neighbours.
-- Locks:  visible rows, then sessions ascending; waits.
create function listener.fence(p_worker uuid, p_items jsonb, p_settled text[])
returns listener.attempt_outcome[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_sessions uuid[] := array(select (item ->> 'session')::uuid from jsonb_array_elements(p_items) as item);
begin
  perform listener.hold_rows(v_sessions, false);
  perform from listener.sessions as session
  where session.id = any(v_sessions)
  order by session.id
  for no key update;

  return array(
    select
      row(
        item.session, item.attempt,
        case
          when verdict.code is not null then 'refused'
          when session.status = 'processing' and item.nth = 1 then 'applied'
          else 'already'
        end,
        verdict.code, session.cancel_requested_at is not null
      )::listener.attempt_outcome
    from (
      select
        (given.item ->> 'session')::uuid as session, (given.item ->> 'attempt')::integer as attempt, given.ordinal,
        row_number() over (partition by given.item ->> 'session', given.item ->> 'attempt' order by given.ordinal) as nth
      from jsonb_array_elements(p_items) with ordinality as given (item, ordinal)
    ) as item
    left join listener.sessions as session on item.session = session.id
    cross join lateral (
      select case
        when session.id is null then 'SL002'
        when session.worker is distinct from p_worker or session.attempt is distinct from item.attempt then 'SL001'
        when session.status <> 'processing' and session.status <> all(p_settled) then 'SL003'
      end as code
    ) as verdict
    order by item.ordinal
  );
end
$$;

revoke all on function listener.fence(uuid, jsonb, text[]) from public, anon, authenticated;
grant execute on function listener.fence(uuid, jsonb, text[]) to service_role;

-- public.forget_artifacts(objects) -> (bucket, path)
-- Takes from rows what expired_artifacts and orphaned_objects named, [{"bucket", "path"}], and answers the objects that may be
-- removed through the Storage API now: those that no row names any more, and thumbnails of what went. All conditions are asked
-- again; what orphaned_elsewhere named comes with the changed_at that it was given. Rows come first: when the removal fails, an
-- object is left that is found again as an orphan, never a row without its object.
-- Locks:  visible rows, then sessions, skip locked.
create function public.forget_artifacts(p_objects jsonb)
returns table (bucket text, path text)
language plpgsql volatile security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
  v_locked uuid[];
  v_present uuid[];
  v_held uuid[];
  v_dropped record;
begin
  select array_agg(locked.session), array_agg(locked.session) filter (where not locked.is_gone)
  into v_locked, v_present
  from listener.lock_rows(array(
    select recorded.session
    from jsonb_to_recordset(p_objects) as given (bucket text, path text)
    inner join listener.artifacts as recorded on given.path = recorded.path and given.bucket = recorded.bucket
  ), true) as locked;
  v_held := array(
    select session.id from listener.sessions as session
    where session.id = any(v_locked)
    order by session.id
    for no key update skip locked
  );
  select
    array_agg(dropped.bucket) as buckets, array_agg(dropped.path) as paths,
    array_agg(distinct dropped.session) filter (where dropped.is_fading and dropped.session = any(v_present)) as fading
  into v_dropped
  from listener.drop_artifacts(v_held, p_objects) as dropped;
  perform listener.project(v_dropped.fading);

  return query
  select dropped.bucket, dropped.path
  from unnest(v_dropped.buckets, v_dropped.paths) as dropped (bucket, path)
  where
    not exists (select from listener.artifacts as kept where kept.path = dropped.path and kept.bucket = dropped.bucket)
    and not exists (select from listener.artifacts as kept where kept.thumbnail_path = dropped.path and kept.bucket = dropped.bucket)
    and not listener.is_named(dropped.bucket, dropped.path)
  union
  select unnamed.bucket, unnamed.path
  from (
    select array_agg(given.bucket) as buckets, array_agg(given.path) as paths
    from jsonb_to_recordset(p_objects) as given (bucket text, path text)
  ) as asked
  cross join lateral listener.unnamed_among(asked.buckets, asked.paths) as unnamed
  union
  select unnamed.bucket, unnamed.path
  from (
    select
      array_agg(given.bucket) as buckets, array_agg(given.path) as paths,
      array_agg(null::bigint) as sizes, array_agg(given.changed_at) as changes
    from jsonb_to_recordset(p_objects) as given (bucket text, path text, changed_at timestamptz)
    where given.changed_at is not null
  ) as listed
  cross join lateral listener.listed_orphans(listed.buckets, listed.paths, listed.sizes, listed.changes) as unnamed;
end
$$;

revoke all on function public.forget_artifacts(jsonb) from public, anon, authenticated;
grant execute on function public.forget_artifacts(jsonb) to service_role;

-- public.forget_owner(owner) -> jsonb
-- Deletes what a user has in our tables: his rows, which cancels and refunds open sessions and empties all of them, his
-- characters and memberships; the objects go with the next cleaning. The ledger and emptied sessions stay for accounting, events
-- for counting: ids, amounts and times. Rows of an app's own tables are the app's to delete. Answers {"rows", "characters"}.
-- Deleting the user does the same: see forget_user.
-- Locks:  visible rows by table and id, then sessions, then accounts; then characters.
create function public.forget_owner(p_owner uuid)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_ours text[] := array(select registry.relation::text from listener.session_tables as registry where registry.is_ours);
  v_count integer;
  v_rows integer := 0;
  v_characters integer := 0;
begin
  insert into listener.forgotten_owners as known (owner, forgotten_at)
  values (p_owner, listener.clock())
  on conflict (owner) do update set forgotten_at = excluded.forgotten_at;
  if 'public.headshot_sessions' = any(v_ours) then
    perform from public.headshot_sessions as visible where visible.user_id = p_owner order by visible.id for update;
    delete from public.headshot_sessions as visible where visible.user_id = p_owner;
    get diagnostics v_count = row_count;
    v_rows := v_rows + v_count;
  end if;
  if 'public.generation_sessions' = any(v_ours) then
    perform from public.generation_sessions as visible where visible.user_id = p_owner order by visible.id for update;
    delete from public.generation_sessions as visible where visible.user_id = p_owner;
    get diagnostics v_count = row_count;
    v_rows := v_rows + v_count;
  end if;
  if 'public.avatar_sessions' = any(v_ours) then
    perform from public.avatar_sessions as visible where visible.user_id = p_owner order by visible.id for update;
    delete from public.avatar_sessions as visible where visible.user_id = p_owner;
    get diagnostics v_count = row_count;
    v_rows := v_rows + v_count;
  end if;
  if 'public.generation_jobs' = any(v_ours) then
    perform from public.generation_jobs as visible where visible.user_id = p_owner order by visible.id for update;
    delete from public.generation_jobs as visible where visible.user_id = p_owner;
    get diagnostics v_count = row_count;
    v_rows := v_rows + v_count;
    delete from public.characters as owned where owned.user_id = p_owner;
    get diagnostics v_characters = row_count;
  end if;
  if 'public.store_generation_sessions' = any(v_ours) then
    delete from public.store_members as member where member.user_id = p_owner;
  end if;
  return jsonb_build_object('rows', v_rows, 'characters', v_characters);
end
$$;

revoke all on function public.forget_owner(uuid) from public, anon, authenticated;
grant execute on function public.forget_owner(uuid) to service_role;

-- listener.forget_user() trigger, after delete on auth.users, for each row
-- Deletes what the user had here: see forget_owner.
-- Security definer: whoever deletes users has no rights on our tables.
create function listener.forget_user()
returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform public.forget_owner(old.id);
  return null;
end
$$;

revoke all on function listener.forget_user() from public, anon, authenticated, service_role;

-- listener.full_owners(also) -> uuid[]
-- Owners of whom as many sessions run as their plan allows at once, those in p_also counted as running.
create function listener.full_owners(p_also uuid[])
returns uuid[]
language sql volatile security invoker
set search_path = ''
as $$
  select array(
    select account.owner
    from listener.count_running(p_also) as running
    inner join listener.accounts as account on running.owner = account.owner
    inner join listener.plans as plan on account.plan = plan.plan
    where plan.running_at_once is not null
    group by account.owner, plan.running_at_once
    having sum(running.sessions) >= plan.running_at_once
  )
$$;

revoke all on function listener.full_owners(uuid[]) from public, anon, authenticated;
grant execute on function listener.full_owners(uuid[]) to service_role;

-- listener.grant_access(table, grant_select, insert_columns)
-- Workers may write the table. Users who are held apart by row level security may read it and insert the input columns (or
-- insert_columns); rows open to everybody are left to the app. An insert right on the whole table stays: the reset trigger
-- stands before the state columns. Rights to update are narrowed to inputs; see narrow_updates.
-- USAGE stands before SELECT, and both before the publication: see schemas/listener.sql.
-- Raises: 55000 insert_column_is_state.
create function listener.grant_access(p_table listener.session_tables, p_grant_select boolean, p_insert_columns text[])
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_schema regnamespace;
  v_is_secured boolean;
  v_columns text;
begin
  select class.relnamespace, class.relrowsecurity into strict v_schema, v_is_secured
  from pg_catalog.pg_class as class
  where class.oid = p_table.relation;
  select string_agg(format('%I', given.name), ', ') into v_columns
  from unnest(coalesce(p_insert_columns, listener.input_columns(p_table))) as given (name);
  perform listener.refuse_table(p_table.relation, array(
    select row('insert_column_is_state', format('%I shows the state.', given.name), 'Leave it out of insert_columns.')::listener.misfit
    from unnest(p_insert_columns) as given (name)
    where given.name in (select pair.value from jsonb_each_text(p_table.columns) as pair)
  ));

  execute format('grant usage on schema %s to service_role', v_schema);
  execute format('grant select, insert, update, delete on table %s to service_role', p_table.relation);
  if v_is_secured and p_grant_select then
    execute format('grant select on table %s to authenticated', p_table.relation);
  end if;
  if v_is_secured and v_columns is not null then
    execute format('grant insert (%s) on table %s to authenticated', v_columns, p_table.relation);
  end if;
  perform listener.narrow_updates(p_table);
end
$$;

revoke all on function listener.grant_access(listener.session_tables, boolean, text[])
from public, anon, authenticated, service_role;

-- public.grant_credits(owner, amount, key, reason) -> jsonb
-- Gives credits once per key, however often it is called. Answers {"balance", "outcome"}.
-- Units: amount is whole credits, 1..1,000,000.
-- Locks:  the account.
-- Raises: 22023 for another amount range or an empty key; SL003 when the key was used for another owner or amount.
create function public.grant_credits(p_owner uuid, p_amount integer, p_key text, p_reason text)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_key text := 'grant:' || p_key;
  v_granted integer;
  v_balance integer;
begin
  if coalesce(p_amount, 0) not between 1 and 1000000 or coalesce(p_key, '') = '' then
    raise exception 'a grant needs a key and 1 to 1,000,000 credits' using errcode = '22023';
  end if;
  perform listener.open_accounts(array[p_owner]);
  perform listener.welcome_accounts(array[p_owner]);
  insert into listener.ledger as entry (key, entry, owner, amount, reason, created_at)
  values (v_key, 'grant', p_owner, p_amount, coalesce(p_reason, ''), listener.clock())
  on conflict (key) do nothing
  returning entry.amount into v_granted;
  if v_granted is null and not exists (
    select from listener.ledger as entry
    where entry.key = v_key and entry.owner = p_owner and entry.amount = p_amount
  ) then
    raise exception 'transition_refused' using errcode = 'SL003', detail = 'This key was used for another grant.';
  end if;
  update listener.accounts as account
  set balance = account.balance + coalesce(v_granted, 0)
  where account.owner = p_owner
  returning account.balance into v_balance;
  return jsonb_build_object(
    'balance', v_balance, 'outcome', case when v_granted is null then 'already' else 'applied' end
  );
end
$$;

revoke all on function public.grant_credits(uuid, integer, text, text) from public, anon, authenticated;
grant execute on function public.grant_credits(uuid, integer, text, text) to service_role;

-- listener.guard_ledger() trigger, before update, delete or truncate, for each statement
-- The ledger is only ever added to.
-- Raises: SL003 transition_refused.
create function listener.guard_ledger()
returns trigger
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  raise exception 'transition_refused' using
    errcode = 'SL003',
    detail = 'Ledger entries are neither changed nor removed; grant or refund instead.';
end
$$;

revoke all on function listener.guard_ledger() from public, anon, authenticated;

-- listener.guard_session() trigger, before update, for each row
-- A terminal state is never left, an attempt never lowered, and what a session is never changes.
-- Raises: SL003 transition_refused.
create function listener.guard_session()
returns trigger
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  raise exception 'transition_refused' using
    errcode = 'SL003',
    detail = format('%s: %s, attempt %s -> %s, attempt %s', old.id, old.status, old.attempt, new.status, new.attempt);
end
$$;

revoke all on function listener.guard_session() from public, anon, authenticated;

-- public.heartbeat(worker, running, open_claims, state) -> jsonb
-- Renews the worker's lease, and with it all its sessions. Answers {"known", "cancel", "lost", "tables", "promoted",
-- "schema_version", "oldest_worker"}: sessions whose owner wants them cancelled, and listed attempts that are no longer
-- the worker's. known = false: register again.
-- The state is for `listener status`: claiming, draining, rejected, or paused and by what. Older workers send none.
-- What the database holds for the worker but the worker does not know, because a claim's answer was lost, is released.
-- Locks:  the worker's row, then visible rows and sessions, skip locked.
create function public.heartbeat(p_worker uuid, p_running jsonb, p_open_claims uuid[], p_state text default null)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_beats bigint;
  v_kinds text[];
  v_promoted integer := 0;
begin
  select renewed.beats, renewed.kinds into v_beats, v_kinds from listener.renew_worker(p_worker, p_state) as renewed;
  if v_beats is not null then
    perform listener.release_strays(p_worker, p_running, p_open_claims, v_beats - 1);
    v_promoted := listener.promote_delayed(100);
  end if;
  return jsonb_build_object(
    'known', v_beats is not null,
    'cancel', public.requested_cancels(p_worker),
    'lost', (
      select coalesce(jsonb_agg(jsonb_build_object('session', item.session, 'attempt', item.attempt)), '[]')
      from jsonb_to_recordset(p_running) as item (session uuid, attempt integer)
      where not exists (
        select from listener.sessions as session
        where
          session.id = item.session and session.attempt = item.attempt
          and session.worker = p_worker and session.status = 'processing'
      )
    ),
    'tables', listener.served_tables(coalesce(v_kinds, '{}')),
    'promoted', v_promoted,
    'schema_version', listener.schema_version(),
    'oldest_worker', listener.oldest_worker()
  );
end
$$;

revoke all on function public.heartbeat(uuid, jsonb, uuid[], text) from public, anon, authenticated;
grant execute on function public.heartbeat(uuid, jsonb, uuid[], text) to service_role;

-- listener.hmac_key(secret, padding) -> bytea
-- The key of one of HMAC-SHA256's two hashes: the secret, filled with zeros to a block of 64 bytes, each byte xor the padding
-- (0x36 inner, 0x5c outer). A secret of more than a block would have to be hashed first; Standard Webhooks ends at 64 bytes.
-- Source: RFC 2104, section 2.
create function listener.hmac_key(p_secret bytea, p_padding integer)
returns bytea
language sql immutable security invoker
set search_path = ''
as $$
  select string_agg(
    decode(lpad(to_hex(case when place < octet_length(p_secret) then get_byte(p_secret, place) else 0 end # p_padding), 2, '0'), 'hex'),
    ''::bytea order by place
  )
  from generate_series(0, 63) as place
$$;

revoke all on function listener.hmac_key(bytea, integer) from public, anon, authenticated, service_role;

-- listener.hold_branch(table, relation, id_column) -> text
-- One watched table's branch of listener.hold_visible.
create function listener.hold_branch(p_table_id integer, p_relation regclass, p_id_column text)
returns text
language sql stable security invoker
set search_path = ''
as $$
  select format(
    $branch$
    when %1$s then
      if p_skip_locked then
        held := array(
          select visible.%3$I from %2$s as visible where visible.%3$I = any(p_rows) order by visible.%3$I
          for no key update skip locked
        );
      else
        held := array(
          select visible.%3$I from %2$s as visible where visible.%3$I = any(p_rows) order by visible.%3$I
          for no key update
        );
      end if;
      if cardinality(held) < cardinality(p_rows) then
        gone := array(
          select given.id from unnest(p_rows) as given (id)
          where not exists (select from %2$s as visible where visible.%3$I = given.id)
        );
      end if;
    $branch$,
    p_table_id, p_relation, p_id_column
  )
$$;

revoke all on function listener.hold_branch(integer, regclass, text) from public, anon, authenticated, service_role;

-- listener.hold_rows(sessions, skip_locked) -> uuid[]
-- Locks the visible rows of sessions and returns the sessions that may be written now. An open session whose row is gone
-- without its delete trigger can be shown to nobody: it fails and is refunded here.
-- Locks:  visible rows; for those that are gone, sessions and accounts.
create function listener.hold_rows(p_sessions uuid[], p_skip_locked boolean)
returns uuid[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_present uuid[];
  v_gone uuid[];
begin
  select
    coalesce(array_agg(locked.session) filter (where not locked.is_gone), '{}'),
    coalesce(array_agg(locked.session) filter (where locked.is_gone), '{}')
  into v_present, v_gone
  from listener.lock_rows(p_sessions, p_skip_locked) as locked;
  if cardinality(v_gone) > 0 then
    v_gone := array(
      select session.id from listener.sessions as session
      where session.id = any(v_gone) and session.status in ('queued', 'delayed', 'processing')
      order by session.id
      for no key update
    );
    perform listener.fail_here(v_gone, 'row_missing', 'The row of this session no longer exists.');
  end if;
  return v_present;
end
$$;

revoke all on function listener.hold_rows(uuid[], boolean) from public, anon, authenticated;
grant execute on function listener.hold_rows(uuid[], boolean) to service_role;

-- listener.hold_sessions(sessions) -> uuid[]
-- Locks what can be locked without waiting, visible rows first, and returns the sessions that are still processing.
-- The caller must ask its own condition again: a session may have changed hands before it was locked.
-- Locks:  visible rows, then sessions; skip locked.
create function listener.hold_sessions(p_sessions uuid[])
returns uuid[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_sessions uuid[];
begin
  if cardinality(p_sessions) = 0 then
    return '{}'::uuid[];
  end if;
  v_sessions := listener.hold_rows(p_sessions, true);
  return array(
    select session.id
    from listener.sessions as session
    where session.id = any(v_sessions) and session.status = 'processing'
    order by session.id
    for no key update skip locked
  );
end
$$;

revoke all on function listener.hold_sessions(uuid[]) from public, anon, authenticated;
grant execute on function listener.hold_sessions(uuid[]) to service_role;

-- listener.hold_table(relation)
-- Keeps everybody else from a table until the transaction ends, so that what is checked is what is adopted.
-- Locks:  the table, exclusively; set lock_timeout to bound the wait, during which all who come later wait, too.
create function listener.hold_table(p_relation regclass)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  execute format('lock table %s in access exclusive mode', p_relation);
end
$$;

revoke all on function listener.hold_table(regclass) from public, anon, authenticated, service_role;

-- listener.index_misfits(table) -> setof misfit
-- Unique and exclusion indexes over state columns: they would stop a state for one row because of another one.
create function listener.index_misfits(p_table listener.session_tables)
returns setof listener.misfit
language sql stable security invoker
set search_path = ''
as $$
  select
    'unique_index_over_state',
    format('%s allows a state only once, so one session could stop another.', index.indexrelid::regclass),
    'Drop it, and limit in listener.plans how many sessions an owner may have at once.'
  from pg_catalog.pg_index as index
  where
    index.indrelid = p_table.relation and (index.indisunique or index.indisexclusion) and not index.indisprimary
    and exists (
      select
      from jsonb_each_text(p_table.columns) as pair
      inner join pg_catalog.pg_attribute as state on state.attrelid = index.indrelid and pair.value = state.attname
      left join pg_catalog.pg_depend as uses
        on uses.classid = 'pg_catalog.pg_class'::regclass and uses.objid = index.indexrelid
        and uses.refobjid = index.indrelid and uses.refobjsubid = state.attnum
      where state.attnum = any(index.indkey::smallint[]) or uses.objid is not null
    )
$$;

revoke all on function listener.index_misfits(listener.session_tables) from public, anon, authenticated, service_role;

-- listener.input_columns(table) -> text[]
-- The columns that are the app's: neither state nor computed.
create function listener.input_columns(p_table listener.session_tables)
returns text[]
language sql stable security invoker
set search_path = ''
as $$
  select array(
    select input.attname::text
    from pg_catalog.pg_attribute as input
    where
      input.attrelid = p_table.relation and input.attnum > 0 and not input.attisdropped and input.attgenerated = ''
      and input.attname not in (select pair.value from jsonb_each_text(p_table.columns) as pair)
    order by input.attnum
  )
$$;

revoke all on function listener.input_columns(listener.session_tables) from public, anon, authenticated;
grant execute on function listener.input_columns(listener.session_tables) to service_role;

-- listener.insert_probe(table, id, is_copy) -> text
-- Inserts a row whose state columns have their defaults: bare, or with the inputs of an existing row. Returns why it could not;
-- also when the row does not stand at queued then, for no session would ever come of it.
create function listener.insert_probe(p_table listener.session_tables, p_id uuid, p_is_copy boolean)
returns text
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_like jsonb;
  v_status text;
  v_columns text;
begin
  if p_is_copy then
    execute format('select to_jsonb(visible) from %s as visible where %I <> $1 limit 1', p_table.relation, p_table.id_column)
    into v_like using p_id;
  end if;
  if v_like is null then
    execute format('insert into %s (%I) values ($1)', p_table.relation, p_table.id_column) using p_id;
  else
    select string_agg(format('%I', input.name), ', ') into v_columns
    from unnest(listener.input_columns(p_table)) as input (name);
    execute format(
      'insert into %1$s (%2$s) overriding system value select %2$s from jsonb_populate_record(null::%1$s, $1)',
      p_table.relation, v_columns
    ) using v_like || jsonb_build_object(p_table.id_column, p_id);
  end if;
  execute format(
    'select to_jsonb(visible) ->> %L from %s as visible where visible.%I = $1',
    p_table.columns ->> 'status', p_table.relation, p_table.id_column
  ) into v_status using p_id;
  return case when v_status is distinct from 'queued' then format(
    'A row that says nothing of its status arrives as %L, not as ''queued''; sessions begin as ''queued'': set that default.', v_status
  ) end;
exception when others then
  return format('queued: %s', sqlerrm);
end
$$;

revoke all on function listener.insert_probe(listener.session_tables, uuid, boolean)
from public, anon, authenticated, service_role;

-- listener.is_spent_input(path) -> boolean
-- Whether an object of the bucket uploads came with a request over HTTP and is needed no more: the file
-- {owner}/avatars/{row}/{request}/{file} of a session that finished, or never was; the face {owner}/{character}-{digest}.{type} of
-- a character that is gone, or never was. Everything else in there is its owner's own.
create function listener.is_spent_input(p_path text)
returns boolean
language plpgsql stable security invoker
set search_path = ''
as $$
declare
  v_row text := substring(
    p_path from '^[0-9a-f-]{36}/avatars/([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})/[0-9a-f-]{36}/[a-z]+-[0-9a-f]{16}[.][a-z0-9]{3}$'
  );
  v_character text := substring(
    p_path from '^[0-9a-f-]{36}/([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})-[0-9a-f]{16}[.](?:png|jpg|webp)$'
  );
begin
  if v_character is not null then
    if not exists (select from listener.session_tables as registry where registry.kind = 'pack' and registry.is_ours) then
      return false; -- public.characters may be the app's own
    end if;
    return not exists (select from public.characters as owned where owned.id = v_character::uuid);
  end if;
  return v_row is not null and not exists (
    select from listener.sessions as waiting where waiting.row_id = v_row::uuid and waiting.finished_at is null
  );
end
$$;

revoke all on function listener.is_spent_input(text) from public, anon, authenticated;
grant execute on function listener.is_spent_input(text) to service_role;

-- listener.is_transient(sqlstate) -> boolean
-- Tells errors of the moment (locks, resources, shutdown, read-only) from errors that lie in a visible table itself.
create function listener.is_transient(p_sqlstate text)
returns boolean
language sql immutable security invoker
set search_path = ''
as $$
  select left(p_sqlstate, 2) in ('08', '25', '40', '53', '57', '58', 'XX') or p_sqlstate = '55P03'
$$;

revoke all on function listener.is_transient(text) from public, anon, authenticated;
grant execute on function listener.is_transient(text) to service_role;

-- listener.key_column(relation) -> text
-- The first column of a table's primary key; null without one.
create function listener.key_column(p_relation regclass)
returns text
language sql stable security invoker
set search_path = ''
as $$
  select id.attname::text
  from pg_catalog.pg_constraint as pk
  inner join pg_catalog.pg_attribute as id on id.attrelid = pk.conrelid and id.attnum = pk.conkey[1]
  where pk.conrelid = p_relation and pk.contype = 'p'
$$;

revoke all on function listener.key_column(regclass) from public, anon, authenticated, service_role;

-- listener.kind_misfits(table, max_attempts, time_limit_s, bucket) -> setof misfit
-- Why a table cannot be of this kind, or its kind not have this policy. Null leaves what the kind has.
create function listener.kind_misfits(
  p_table listener.session_tables, p_max_attempts integer, p_time_limit_s integer, p_bucket text
)
returns setof listener.misfit
language sql stable security invoker
set search_path = ''
as $$
  select misfit.name, misfit.detail, misfit.hint
  from (
    select array_agg(registry.relation::text order by registry.id) as tables
    from listener.session_tables as registry
    where registry.kind = p_table.kind and registry.relation <> p_table.relation
  ) as others
  left join listener.kinds as known on known.kind = p_table.kind
  cross join lateral (
    values
      (coalesce(p_table.kind !~ '^[a-z][a-z0-9_]{0,62}$', true), 'kind_is_not_a_word',
        format('%L is no name of a kind.', p_table.kind), 'Lower case letters, digits and underscores: kind => ''tryon''.'),
      (coalesce(p_table.credits not between 0 and 1000000, true), 'credits_out_of_range',
        'credits must be 0 to 1,000,000.', 'credits => 0 switches money off.'),
      (p_max_attempts not between 1 and 100, 'max_attempts_out_of_range', 'max_attempts must be 1 to 100.', 'The default is 3.'),
      (p_time_limit_s not between 1 and 86400, 'time_limit_out_of_range', 'time_limit_s must be 1 to 86400 seconds.',
        'The default is 300.'),
      (others.tables is not null and (
          known.max_attempts <> p_max_attempts or known.time_limit_s <> p_time_limit_s or known.bucket <> p_bucket
        ), 'kind_has_another_policy',
        format('%s serves %s with max_attempts %s, time_limit_s %s, bucket %s.', known.kind,
          array_to_string(others.tables, ', '), known.max_attempts, known.time_limit_s, known.bucket),
        'Leave these arguments out, use a kind of its own, or change listener.kinds for all of them.'),
      (not exists (
          select from storage.buckets as bucket
          where bucket.id = coalesce(p_bucket, known.bucket, 'generated')
        ), 'bucket_missing', format('There is no bucket %s.', coalesce(p_bucket, known.bucket, 'generated')),
        'Make a private bucket first, or leave bucket out.')
  ) as misfit (applies, name, detail, hint)
  where misfit.applies
$$;

revoke all on function listener.kind_misfits(listener.session_tables, integer, integer, text)
from public, anon, authenticated, service_role;

-- public.leave_cleaning(holder, bucket, path, rest_s) -> boolean
-- Ends a holder's turn: the walk has come to this object, '' and '' being its beginning, and the next turn is after rest_s seconds.
-- False, and nothing written, for who does not hold the turn any more.
-- Locks:  the row of the turn.
create function public.leave_cleaning(p_holder uuid, p_bucket text, p_path text, p_rest_s integer)
returns boolean
language sql volatile security invoker
set search_path = ''
as $$
  with left_to_others as (
    update listener.cleaning as turn
    set
      holder = null, bucket = coalesce(p_bucket, ''), path = coalesce(p_path, ''),
      until = listener.clock() + make_interval(secs => least(greatest(coalesce(p_rest_s, 60), 0), 86400))
    where turn.holder = p_holder
    returning turn.id
  )

  select exists (select from left_to_others)
$$;

revoke all on function public.leave_cleaning(uuid, text, text, integer) from public, anon, authenticated;
grant execute on function public.leave_cleaning(uuid, text, text, integer) to service_role;

-- listener.limited_demand() -> integer
-- Sessions that run, or wait and are due as far as the limits of plans and kinds would let them run beside the others.
create function listener.limited_demand()
returns integer
language sql volatile security invoker
set search_path = ''
as $$
  with open as (
    select
      session.owner, session.kind,
      count(*) filter (where session.status = 'processing') as running,
      count(*) filter (where session.status <> 'processing') as waiting
    from listener.sessions as session
    where
      session.status in ('queued', 'processing')
      or (session.status = 'delayed' and session.run_at <= (select listener.clock()))
    group by session.owner, session.kind
  ),
  owned as (
    select
      open.kind, open.running, open.waiting, plan.running_at_once,
      plan.running_at_once - sum(open.running) over (partition by open.owner)
      - coalesce(
        sum(open.waiting) over (partition by open.owner order by open.kind rows between unbounded preceding and 1 preceding), 0
      ) as places
    from open
    inner join listener.accounts as account on open.owner = account.owner
    inner join listener.plans as plan on account.plan = plan.plan
  ),
  wanted as (
    select
      owned.kind, sum(owned.running) as running,
      sum(case when owned.running_at_once is null then owned.waiting else least(owned.waiting, greatest(owned.places, 0)) end)
        as waiting
    from owned
    group by owned.kind
  )
  select coalesce(sum(
    wanted.running + case
      when policy.running_at_once is null then wanted.waiting
      else least(wanted.waiting, greatest(policy.running_at_once - wanted.running, 0))
    end
  ), 0)::integer
  from wanted
  inner join listener.kinds as policy on wanted.kind = policy.kind
$$;

revoke all on function listener.limited_demand() from public, anon, authenticated;
grant execute on function listener.limited_demand() to service_role;

-- public.list_api_keys(store) -> (key, name, prefix, per_minute, created_at, last_used_at, revoked_at, requests_today, refused_today)
-- A store's keys, the newest first; never their hashes. The days are UTC.
create function public.list_api_keys(p_store uuid)
returns table (
  key uuid, name text, prefix text, per_minute integer, created_at timestamptz, last_used_at timestamptz,
  revoked_at timestamptz, requests_today bigint, refused_today bigint
)
language sql stable security invoker
set search_path = ''
as $$
  select
    given.key, given.name, given.prefix, given.per_minute, given.created_at, given.last_used_at, given.revoked_at,
    coalesce(used.requests, 0), coalesce(used.refused, 0)
  from listener.api_keys as given
  left join listener.api_key_days as used
    on given.key = used.key and used.day = ((select listener.clock()) at time zone 'utc')::date
  where given.store = p_store
  order by given.created_at desc, given.key
$$;

revoke all on function public.list_api_keys(uuid) from public, anon, authenticated;
grant execute on function public.list_api_keys(uuid) to service_role;

-- listener.listed_orphans(buckets, paths, sizes, changes) -> (bucket, path, size_bytes, reason)
-- Those of these objects that no row names, wherever they lie: in our own buckets, of a shape that workers write, untouched for
-- two days, which is longer than any upload waits for its row, what came over HTTP and is spent among them; and whatever lies in
-- the folder of a user who was deleted, unless it was written two days later or more: he is back.
-- Units: p_sizes are bytes; p_changes are when each was written.
create function listener.listed_orphans(p_buckets text[], p_paths text[], p_sizes bigint[], p_changes timestamptz[])
returns table (bucket text, path text, size_bytes bigint, reason text)
language sql stable security invoker
set search_path = ''
as $$
  select
    object.bucket, object.path, object.size_bytes,
    case when gone.owner is null then 'named_by_no_row' else 'owner_forgotten' end
  from unnest(p_buckets, p_paths, p_sizes, p_changes) as object (bucket, path, size_bytes, changed_at)
  left join listener.forgotten_owners as gone
    on split_part(object.path, '/', 1) = gone.owner::text and object.changed_at < gone.forgotten_at + interval '2 days'
  where
    object.bucket in ('headshots', 'generated', 'stores', 'characters', 'videos', 'uploads')
    and (
      gone.owner is not null
      or (
        case object.bucket
          when 'uploads' then listener.is_spent_input(object.path)
          else object.path ~ '^[0-9a-f-]{36}/([a-z0-9_-]{1,64}/)*[0-9a-f-]{36}([.][0-9]+)?([./].*)?$'
        end
        and object.changed_at < (select listener.clock()) - interval '2 days'
      )
    )
    and not exists (
      select from listener.artifacts as artifact
      where artifact.path = object.path and artifact.bucket = object.bucket
    )
    and not exists (
      select from listener.artifacts as artifact
      where artifact.thumbnail_path = object.path and artifact.bucket = object.bucket
    )
    and not listener.is_named(object.bucket, object.path)
$$;

revoke all on function listener.listed_orphans(text[], text[], bigint[], timestamptz[]) from public, anon, authenticated;
grant execute on function listener.listed_orphans(text[], text[], bigint[], timestamptz[]) to service_role;

-- listener.live_slots(kind) -> numeric
-- The slots that live workers have for a kind: a worker of several kinds shares its slots among those that have a backlog.
create function listener.live_slots(p_kind text)
returns numeric
language sql stable security invoker
set search_path = ''
as $$
  select coalesce(sum(worker.slots::numeric / greatest(busy.kinds, 1)), 0)
  from listener.workers as worker
  cross join lateral (
    select count(*) as kinds
    from unnest(worker.kinds) as served (kind)
    where
      served.kind = p_kind
      or exists (select from listener.sessions as session where session.status = 'queued' and session.kind = served.kind)
  ) as busy
  where p_kind = any(worker.kinds) and worker.expired_at is null and worker.lease_expires_at > listener.clock()
$$;

revoke all on function listener.live_slots(text) from public, anon, authenticated, service_role;

-- listener.live_worker(worker) -> boolean
-- Whether a worker is known and its lease holds.
-- Security definer: service_role may read only (id, beats) of the published table.
create function listener.live_worker(p_worker uuid)
returns boolean
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  return exists (
    select from listener.workers as worker
    where worker.id = p_worker and worker.expired_at is null and worker.lease_expires_at > listener.clock()
  );
end
$$;

revoke all on function listener.live_worker(uuid) from public, anon, authenticated;
grant execute on function listener.live_worker(uuid) to service_role;

-- listener.lock_plans(owners)
-- Makes those who welcome accounts of a plan with a limit wait for each other, until the transaction ends.
-- Security definer: service_role may not write plans, and a row lock asks for that right.
-- Locks:  plans, ascending; no foreign key's check waits for it.
create function listener.lock_plans(p_owners uuid[])
returns void
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform from listener.plans as plan
  where
    plan.welcomes_per_hour is not null
    and plan.plan in (select account.plan from listener.accounts as account where account.owner = any(p_owners))
  order by plan.plan
  for no key update;
end
$$;

revoke all on function listener.lock_plans(uuid[]) from public, anon, authenticated;
grant execute on function listener.lock_plans(uuid[]) to service_role;

-- listener.lock_rows(sessions, skip_locked) -> (session, is_gone)
-- Locks the visible rows of sessions before the sessions themselves are locked. With skip_locked, sessions whose row
-- somebody else holds are left out of the answer; otherwise it waits. A broken table has nothing to lock.
-- Locks:  visible rows, by table and id; for no key update, as the projection's update needs.
create function listener.lock_rows(p_sessions uuid[], p_skip_locked boolean)
returns table (session uuid, is_gone boolean)
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_table record;
  v_held uuid[];
  v_gone uuid[];
  v_is_broken boolean;
begin
  for v_table in
    select
      registry.id, registry.broken_at is not null as is_broken,
      array_agg(held.id) as sessions, array_agg(held.row_id) as row_ids
    from listener.sessions as held
    inner join listener.session_tables as registry on held.table_id = registry.id
    where held.id = any(p_sessions)
    group by registry.id
    order by registry.id
  loop
    v_is_broken := v_table.is_broken;
    if not v_is_broken then
      begin
        select visible.held, visible.gone into v_held, v_gone
        from listener.hold_visible(v_table.id, v_table.row_ids, p_skip_locked) as visible;
      exception when others then
        if listener.is_transient(sqlstate) then
          raise;
        end if;
        perform listener.mark_broken(v_table.id, sqlstate || ' ' || sqlerrm);
        v_is_broken := true;
      end;
    end if;
    if v_is_broken or cardinality(v_held) = cardinality(v_table.row_ids) then
      return query select given.id, false from unnest(v_table.sessions) as given (id);
    else
      return query
      select pair.session_id, coalesce(pair.row_id = any(v_gone), false)
      from unnest(v_table.sessions, v_table.row_ids) as pair (session_id, row_id)
      where pair.row_id = any(v_held) or pair.row_id = any(v_gone);
    end if;
  end loop;
end
$$;

revoke all on function listener.lock_rows(uuid[], boolean) from public, anon, authenticated;
grant execute on function listener.lock_rows(uuid[], boolean) to service_role;

-- listener.loosen_table(table)
-- Takes from a table what a probe row need not keep: foreign keys, checks and NOT NULL that touch no state column, and unique
-- constraints apart from the key. For the dry run alone, which rolls it back.
-- Locks:  the table, which the caller holds.
create function listener.loosen_table(p_table listener.session_tables)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_names text;
  v_state smallint[] := array(
    select state.attnum
    from pg_catalog.pg_attribute as state
    inner join jsonb_each_text(p_table.columns) as pair on state.attname = pair.value
    where state.attrelid = p_table.relation
  );
begin
  select string_agg(format('drop constraint %I cascade', ours.conname), ', ') into v_names
  from pg_catalog.pg_constraint as ours
  where
    ours.conrelid = p_table.relation
    and (ours.contype in ('f', 'u', 'x') or (ours.contype = 'c' and not coalesce(ours.conkey && v_state, false)));
  if v_names is not null then
    execute format('alter table %s %s', p_table.relation, v_names);
  end if;

  select string_agg(index.indexrelid::regclass::text, ', ') into v_names
  from pg_catalog.pg_index as index
  where index.indrelid = p_table.relation and index.indisunique and not index.indisprimary;
  if v_names is not null then
    execute format('drop index %s cascade', v_names);
  end if;

  select string_agg(format('alter column %I drop not null', field.attname), ', ') into v_names
  from pg_catalog.pg_attribute as field
  where
    field.attrelid = p_table.relation and field.attnum > 0 and field.attnotnull and field.attidentity = ''
    and not field.attnum = any(v_state) and field.attname <> p_table.id_column;
  if v_names is not null then
    execute format('alter table %s %s', p_table.relation, v_names);
  end if;
end
$$;

revoke all on function listener.loosen_table(listener.session_tables) from public, anon, authenticated, service_role;

-- listener.lot(id) -> numeric
-- A number from 0 up to 1 that is always the same for an id and spread evenly over ids.
create function listener.lot(p_id uuid)
returns numeric
language sql immutable security invoker
set search_path = ''
as $$
  select ('x' || encode(substr(sha256(uuid_send(p_id)), 1, 4), 'hex'))::bit(32)::bigint / 4294967296.0
$$;

revoke all on function listener.lot(uuid) from public, anon, authenticated, service_role;

-- listener.map_columns(columns) -> jsonb
-- Our names of the state columns with the table's own: as given, else the same; what is given as null is left out.
create function listener.map_columns(p_columns jsonb)
returns jsonb
language sql immutable security invoker
set search_path = ''
as $$
  select jsonb_strip_nulls((select jsonb_object_agg(ours.name, ours.name) from listener.state_columns() as ours) || p_columns)
$$;

revoke all on function listener.map_columns(jsonb) from public, anon, authenticated, service_role;

-- listener.mark_broken(table, reason)
-- Takes a visible table out of service until it is mended: its sessions are not claimed and its rows not written.
create function listener.mark_broken(p_table_id integer, p_reason text)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  update listener.session_tables as registry
  set broken_at = listener.clock(), broken_reason = p_reason
  where registry.id = p_table_id and registry.broken_at is null;
  raise warning 'session table % is broken: %', p_table_id, p_reason;
end
$$;

revoke all on function listener.mark_broken(integer, text) from public, anon, authenticated;
grant execute on function listener.mark_broken(integer, text) to service_role;

-- listener.mend(relation, columns) -> jsonb
-- Takes a broken table back into service once every state fits again, with another mapping where columns is given, and shows
-- what its sessions came to meanwhile. What shows the state now is not the users' to write from now on.
-- Answers {"was_broken", "projected"}.
-- Locks:  the table, then all writes to sessions, until the transaction ends: else a settlement under way would not be shown.
-- Raises: 55000 when the table is not watched or still refused.
create function listener.mend(relation regclass, columns jsonb default null)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_table listener.session_tables;
  v_stale uuid[];
begin
  perform listener.hold_table(mend.relation);
  select known.* into v_table from listener.session_tables as known where known.relation = mend.relation for update;
  if not found then
    perform listener.refuse_table(mend.relation, array[row(
      'not_watched', 'The table is not watched.', 'Call listener.watch.'
    )]::listener.misfit[]);
  end if;
  if mend.columns is not null then
    v_table.columns := listener.map_columns(mend.columns);
  end if;
  perform listener.refuse_table(mend.relation, array(
    select listener.column_misfits(v_table) union all select listener.index_misfits(v_table)
  ));
  if mend.columns is not null then
    perform listener.add_triggers(v_table);
    perform listener.narrow_updates(v_table);
  end if;
  lock table listener.sessions in share row exclusive mode;
  update listener.session_tables as known
  set columns = v_table.columns, broken_at = null, broken_reason = null
  where known.id = v_table.id;
  perform listener.dry_run(v_table);
  v_stale := listener.stale_sessions(v_table);
  perform listener.project(v_stale);
  return jsonb_build_object('was_broken', v_table.broken_at is not null, 'projected', cardinality(v_stale));
end
$$;

revoke all on function listener.mend(regclass, jsonb) from public, anon, authenticated, service_role;

-- listener.narrow_updates(table)
-- Users keep what rights they have to update inputs, and lose them for state, key and owner: who renames a running row would
-- have the image and the refund.
-- Raises: 55000 users_can_write_state when they still may, by a way that is not the owner's to close.
create function listener.narrow_updates(p_table listener.session_tables)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_role text;
  v_columns text;
  v_inputs text[] := array(
    select input.name from unnest(listener.input_columns(p_table)) as input (name)
    where input.name not in (p_table.id_column, p_table.owner_column)
  );
begin
  foreach v_role in array array['public', 'anon', 'authenticated'] loop
    select string_agg(format('%I', input.attname), ', ') filter (where input.attname = any(v_inputs)) into v_columns
    from listener.update_rights(p_table.relation) as input
    where input.role = v_role;
    execute format('revoke update on table %s from %s', p_table.relation, v_role);
    if v_columns is not null then
      execute format('grant update (%s) on table %s to %s', v_columns, p_table.relation, v_role);
    end if;
  end loop;
  perform listener.refuse_table(p_table.relation, array(
    select row(
      'users_can_write_state', format('%I may update %I.', role.name, state.attname),
      'Revoke that right where it comes from: another grantor, or a role that it is a member of.'
    )::listener.misfit
    from unnest(array['anon', 'authenticated']) as role (name)
    cross join pg_catalog.pg_attribute as state
    where
      state.attrelid = p_table.relation and state.attnum > 0 and not state.attisdropped
      and not state.attname = any(v_inputs) and has_column_privilege(role.name, state.attrelid, state.attnum, 'update')
  ));
end
$$;

revoke all on function listener.narrow_updates(listener.session_tables) from public, anon, authenticated, service_role;

-- listener.never_delivered(buckets, paths) -> (bucket, path, size_bytes, reason)
-- Those of these objects, thumbnails too, that were recorded but never delivered.
-- Units: size_bytes is null for a thumbnail.
create function listener.never_delivered(p_buckets text[], p_paths text[])
returns table (bucket text, path text, size_bytes bigint, reason text)
language sql stable security invoker
set search_path = ''
as $$
  select given.bucket, given.path, due.size_bytes, due.reason
  from unnest(p_buckets, p_paths) as given (bucket, path)
  cross join lateral (
    select recorded.size_bytes, recorded.reason
    from listener.due_artifacts as recorded
    where recorded.bucket = given.bucket and recorded.path = given.path and recorded.reason = 'not_delivered'
    union all
    select null, recorded.reason
    from listener.due_artifacts as recorded
    where recorded.bucket = given.bucket and recorded.thumbnail_path = given.path and recorded.reason = 'not_delivered'
  ) as due
$$;

revoke all on function listener.never_delivered(text[], text[]) from public, anon, authenticated;
grant execute on function listener.never_delivered(text[], text[]) to service_role;

-- listener.new_secret() -> text
-- A secret as Standard Webhooks has it: whsec_ and the base64 of 48 bytes with 366 random bits, without pgcrypto.
create function listener.new_secret()
returns text
language sql volatile security invoker
set search_path = ''
as $$
  select 'whsec_' || encode(
    decode(replace(concat(gen_random_uuid(), gen_random_uuid(), gen_random_uuid()), '-', ''), 'hex'), 'base64'
  )
$$;

revoke all on function listener.new_secret() from public, anon, authenticated;
grant execute on function listener.new_secret() to service_role;

-- listener.oldest_worker() -> integer
-- The oldest workers that this schema still serves, by the schema version that they were built for. Follows schema_version
-- only when a call of theirs no longer works: until then old and new workers run together. Who is older ends with status 57.
create function listener.oldest_worker()
returns integer
language sql immutable security invoker
set search_path = ''
as $$
  select 1
$$;

revoke all on function listener.oldest_worker() from public, anon, authenticated;
grant execute on function listener.oldest_worker() to service_role;

-- listener.open_accounts(owners)
-- Makes sure that each owner has an account, and locks them all until the transaction ends.
-- Locks:  accounts, ascending owner; for no key update: see refund.
create function listener.open_accounts(p_owners uuid[])
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  insert into listener.accounts as account (owner, created_at)
  select owner_id, listener.clock()
  from (select distinct unnest(p_owners) as owner_id) as given
  order by owner_id
  on conflict (owner) do nothing;

  perform from listener.accounts as account
  where account.owner = any(p_owners)
  order by account.owner
  for no key update;
end
$$;

revoke all on function listener.open_accounts(uuid[]) from public, anon, authenticated;
grant execute on function listener.open_accounts(uuid[]) to service_role;

-- listener.open_topics()
-- Lets a signed-in user hear the topic of his own id and those of his stores; nobody may send there by it. Made when the first
-- table broadcasts and not by the migration: Realtime may not have made its table by then, and it is not touched unasked.
-- Locks:  realtime.messages, when the policy is not there yet.
create function listener.open_topics()
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  if exists (
    select from pg_catalog.pg_policy as policy
    where policy.polrelid = 'realtime.messages'::regclass and policy.polname = 'listener_owner_hears'
  ) then
    return;
  end if;
  create policy listener_owner_hears on realtime.messages
  for select to authenticated using (
    extension = 'broadcast' and (
      topic = 'owner:' || (select auth.uid())
      or topic in (
        select 'owner:' || member.store_id
        from public.store_members as member
        where member.user_id = (select auth.uid())
      )
    )
  );
end
$$;

revoke all on function listener.open_topics() from public, anon, authenticated, service_role;

-- public.orphaned_elsewhere(objects) -> (bucket, path, size_bytes, reason)
-- Of objects that lie in a store of their own, as a worker has listed them, [{"bucket", "path", "size_bytes", "changed_at"}], those
-- that no row names, and those that were recorded but never delivered. Changes nothing, so it is the dry run as well;
-- forget_artifacts comes next. What lies in Supabase Storage is found by orphaned_objects.
create function public.orphaned_elsewhere(p_objects jsonb)
returns table (bucket text, path text, size_bytes bigint, reason text)
language sql stable security invoker
set search_path = ''
as $$
  with listed as (
    select
      array_agg(given.bucket) as buckets, array_agg(given.path) as paths,
      array_agg(given.size_bytes) as sizes, array_agg(given.changed_at) as changes
    from jsonb_to_recordset(p_objects) as given (bucket text, path text, size_bytes bigint, changed_at timestamptz)
  )

  select unnamed.bucket, unnamed.path, unnamed.size_bytes, unnamed.reason
  from listed
  cross join lateral listener.listed_orphans(listed.buckets, listed.paths, listed.sizes, listed.changes) as unnamed
  union
  select undelivered.bucket, undelivered.path, undelivered.size_bytes, undelivered.reason
  from listed
  cross join lateral listener.never_delivered(listed.buckets, listed.paths) as undelivered
$$;

revoke all on function public.orphaned_elsewhere(jsonb) from public, anon, authenticated;
grant execute on function public.orphaned_elsewhere(jsonb) to service_role;

-- public.orphaned_objects(bucket, path, limit) -> jsonb
-- Looks at up to `limit` objects of our buckets, those that come after the given one, and answers {"objects": [{"bucket", "path",
-- "size_bytes", "reason"}], "examined", "next": {"bucket", "path"} or null at the end}: what no row names, and what was recorded
-- but never delivered. Changes nothing, so it is the dry run as well; forget_artifacts comes next.
create function public.orphaned_objects(p_bucket text default '', p_path text default '', p_limit integer default 1000)
returns jsonb
language plpgsql stable security invoker
set search_path = ''
as $$
declare
  v_limit integer := least(greatest(coalesce(p_limit, 1000), 1), 1000);
  v_buckets text[];
  v_paths text[];
  v_count integer;
begin
  select array_agg(page.bucket_id), array_agg(page.name), count(*) into v_buckets, v_paths, v_count
  from (
    select object.bucket_id, object.name
    from storage.objects as object
    where (object.bucket_id, object.name) > (p_bucket, p_path)
    order by object.bucket_id, object.name
    limit v_limit
  ) as page;
  return jsonb_build_object(
    'objects', (
      select coalesce(jsonb_agg(to_jsonb(candidate) order by candidate.bucket, candidate.path), '[]')
      from (
        select unnamed.bucket, unnamed.path, unnamed.size_bytes, unnamed.reason
        from listener.unnamed_among(v_buckets, v_paths) as unnamed
        union
        select undelivered.bucket, undelivered.path, undelivered.size_bytes, undelivered.reason
        from listener.never_delivered(v_buckets, v_paths) as undelivered
      ) as candidate
    ),
    'examined', v_count,
    'next', case when v_count = v_limit then jsonb_build_object('bucket', v_buckets[v_count], 'path', v_paths[v_count]) end
  );
end
$$;

revoke all on function public.orphaned_objects(text, text, integer) from public, anon, authenticated;
grant execute on function public.orphaned_objects(text, text, integer) to service_role;

-- listener.own_balance() -> integer
-- The caller's credits: see balance_of.
-- Security definer: users never touch the private schema's tables.
create function listener.own_balance()
returns integer
language plpgsql stable security definer
set search_path = ''
as $$
begin
  return listener.balance_of((select auth.uid()));
end
$$;

revoke all on function listener.own_balance() from public, anon, authenticated;
grant execute on function listener.own_balance() to authenticated;

-- listener.own_queue_status(row_id) -> jsonb
-- Where the caller's session stands: see listener.queue_status_of.
-- Security definer: users never touch the private schema's tables.
-- Raises: SL002 session_unknown, also for other owners' sessions.
create function listener.own_queue_status(p_row_id uuid)
returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
begin
  return listener.queue_status_of((select auth.uid()), p_row_id);
end
$$;

revoke all on function listener.own_queue_status(uuid) from public, anon, authenticated, service_role;
grant execute on function listener.own_queue_status(uuid) to authenticated;

-- public.owned_tables() -> jsonb
-- The visible tables as an HTTP server needs them that inserts for their owners: [{"schema", "table", "kind", "id_column",
-- "owner_column", "columns", "inputs"}]. columns maps our names of the state columns to the table's; inputs are the columns that
-- are the owner's to give. Broken tables are left out.
create function public.owned_tables()
returns jsonb
language sql stable security invoker
set search_path = ''
as $$
  select coalesce(
    jsonb_agg(
      jsonb_build_object(
        'schema', namespace.nspname, 'table', class.relname, 'kind', registry.kind, 'id_column', registry.id_column,
        'owner_column', registry.owner_column, 'columns', registry.columns, 'inputs', listener.input_columns(registry)
      )
      order by registry.id
    ),
    '[]'
  )
  from listener.session_tables as registry
  inner join pg_catalog.pg_class as class on registry.relation = class.oid
  inner join pg_catalog.pg_namespace as namespace on class.relnamespace = namespace.oid
  where registry.broken_at is null
$$;

revoke all on function public.owned_tables() from public, anon, authenticated;
grant execute on function public.owned_tables() to service_role;

-- public.owner_credits(owner) -> integer
-- The door of a server that knows by itself who asks (an API key's store): see listener.balance_of.
create function public.owner_credits(p_owner uuid)
returns integer
language plpgsql stable security invoker
set search_path = ''
as $$
begin
  return listener.balance_of(p_owner);
end
$$;

revoke all on function public.owner_credits(uuid) from public, anon, authenticated;
grant execute on function public.owner_credits(uuid) to service_role;

-- public.owner_queue_status(owner, row_id) -> jsonb
-- The door of a server that knows by itself who asks (an API key's store): see listener.queue_status_of.
create function public.owner_queue_status(p_owner uuid, p_row_id uuid)
returns jsonb
language plpgsql stable security invoker
set search_path = ''
as $$
begin
  return listener.queue_status_of(p_owner, p_row_id);
end
$$;

revoke all on function public.owner_queue_status(uuid, uuid) from public, anon, authenticated;
grant execute on function public.owner_queue_status(uuid, uuid) to service_role;

-- public.partner_report(store, limit) -> jsonb
-- What a store is told: {"webhook": {"url", "active", "active_at", "changed_at", "secrets"}, "deliveries": [{"delivery", "session",
-- "event", "status", "attempt", "created_at", "next_at", "ended_at", "last_status", "last_error"}]}, the newest first. webhook is
-- null without one; secrets counts them and shows none. session is the visible row's id while the session is kept.
-- Units: limit is bounded to 0..1000; next_at is null once it is over.
create function public.partner_report(p_store uuid, p_limit integer default 50)
returns jsonb
language sql stable security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'webhook', (
      select jsonb_build_object(
        'url', hook.url, 'active', hook.active, 'active_at', hook.active_at, 'changed_at', hook.changed_at,
        'secrets', cardinality(hook.secrets)
      )
      from listener.partner_webhooks as hook
      where hook.store = p_store
    ),
    'deliveries', (
      select coalesce(jsonb_agg(to_jsonb(told) order by told.created_at desc, told.delivery), '[]')
      from (
        select
          sent.id as delivery, coalesce(session.row_id, sent.session) as session, sent.event, sent.status, sent.attempt,
          sent.created_at, case when sent.ended_at is null then sent.next_at end as next_at, sent.ended_at, sent.last_status,
          sent.last_error
        from listener.deliveries as sent
        left join listener.sessions as session on sent.session = session.id
        where sent.store = p_store
        order by sent.created_at desc, sent.id
        limit least(greatest(coalesce(p_limit, 50), 0), 1000)
      ) as told
    )
  )
$$;

revoke all on function public.partner_report(uuid, integer) from public, anon, authenticated;
grant execute on function public.partner_report(uuid, integer) to service_role;

-- listener.pay_app_refunds(sessions) -> integer
-- Calls the apps' functions with (row_id, amount), each in a subtransaction: one that raises, or runs into the statement timeout,
-- changes nothing else and is called again, after 10 s and then twice as long each time, up to an hour. After a timeout the others
-- are left to the next sweep. Returns how many went through. The name called comes from the registry, which only its owner writes.
-- Locks:  the rows of app_refunds, skip locked; then whatever the app's function locks.
create function listener.pay_app_refunds(p_sessions uuid[])
returns integer
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_owed record;
  v_error text;
  v_paid integer := 0;
  v_now timestamptz := listener.clock();
begin
  for v_owed in
    select refund.session, refund.row_id, refund.amount, refund.on_refund,
      quote_ident(namespace.nspname) || '.' || quote_ident(routine.proname) as function
    from listener.app_refunds as refund
    left join pg_catalog.pg_proc as routine on to_regprocedure(refund.on_refund) = routine.oid
    left join pg_catalog.pg_namespace as namespace on routine.pronamespace = namespace.oid
    where refund.session = any(p_sessions) and refund.paid_at is null
    order by refund.session
    for no key update of refund skip locked
  loop
    v_error := null;
    begin
      if v_owed.function is null then
        raise exception 'there is no function %', v_owed.on_refund;
      end if;
      execute format('select %s($1, $2)', v_owed.function) using v_owed.row_id, v_owed.amount;
    exception when others or query_canceled then
      v_error := left(sqlstate || ' ' || sqlerrm, 500);
      raise warning 'refund of % by %: %', v_owed.row_id, v_owed.on_refund, v_error;
    end;
    v_paid := v_paid + (v_error is null)::integer;
    update listener.app_refunds as refund
    set
      calls = refund.calls + 1,
      error = v_error,
      paid_at = case when v_error is null then v_now end,
      call_at = v_now + make_interval(secs => least(10 * 2 ^ least(refund.calls, 10), 3600))
    where refund.session = v_owed.session;
    -- The time limit of a statement strikes once: nothing would end the next call that hangs.
    exit when v_error like '57014%';
  end loop;
  return v_paid;
end
$$;

revoke all on function listener.pay_app_refunds(uuid[]) from public, anon, authenticated;
grant execute on function listener.pay_app_refunds(uuid[]) to service_role;

-- listener.pay_owed_refunds(limit) -> integer
-- Calls again for the refunds that apps still owe; returns how many went through.
-- Locks:  the rows of app_refunds, skip locked.
create function listener.pay_owed_refunds(p_limit integer)
returns integer
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  return listener.pay_app_refunds(array(
    select refund.session
    from listener.app_refunds as refund
    where refund.paid_at is null and refund.call_at <= (select listener.clock())
    order by refund.call_at
    limit p_limit
  ));
end
$$;

revoke all on function listener.pay_owed_refunds(integer) from public, anon, authenticated;
grant execute on function listener.pay_owed_refunds(integer) to service_role;

-- listener.pictures_of(result) -> (path, thumbnail_path, url, width, height, place, pose, similarity, similarity_state, seed)
-- The images in a visible row's result. What a worker says of one in its facts is taken where it makes sense, and is else as if
-- it had not been said: a word of a handler must not put the table out of service.
-- Units: place counts from 0; similarity is 0 to 1.
create function listener.pictures_of(p_result jsonb)
returns table (
  path text, thumbnail_path text, url text, width integer, height integer, place integer, pose text, similarity real,
  similarity_state text, seed bigint
)
language sql immutable security invoker
set search_path = ''
as $$
  select distinct on (artifact.path)
    artifact.path, artifact.thumbnail_path, artifact.url, artifact.width, artifact.height,
    case when said.place between 0 and 999 then said.place::integer else artifact.ordinal::integer - 1 end,
    left(artifact.facts ->> 'pose', 100),
    case when said.similarity between 0 and 1 then said.similarity::real end,
    case
      when artifact.facts ->> 'similarity_state' in ('reference', 'measured', 'below') then artifact.facts ->> 'similarity_state'
      else 'not_measured'
    end,
    case when said.seed between 0 and 9223372036854775807 then said.seed::bigint end
  from rows from (
    jsonb_to_recordset(coalesce(p_result -> 'artifacts', '[]')) as (
      path text, thumbnail_path text, url text, width integer, height integer, content_type text, facts jsonb
    )
  ) with ordinality as artifact (path, thumbnail_path, url, width, height, content_type, facts, ordinal)
  cross join lateral (
    select
      case when jsonb_typeof(artifact.facts -> 'position') = 'number' then (artifact.facts ->> 'position')::numeric end as place,
      case
        when jsonb_typeof(artifact.facts -> 'similarity') = 'number' then (artifact.facts ->> 'similarity')::numeric
      end as similarity,
      case when jsonb_typeof(artifact.facts -> 'seed') = 'number' then (artifact.facts ->> 'seed')::numeric end as seed
  ) as said
  where artifact.content_type like 'image/%'
  order by artifact.path, artifact.ordinal desc
$$;

revoke all on function listener.pictures_of(jsonb) from public, anon, authenticated;
grant execute on function listener.pictures_of(jsonb) to service_role;

-- listener.pose_probe(session, state)
-- Puts a probe's session into a state, with texts as long as they may become: started and running are processing before and
-- after the first progress.
create function listener.pose_probe(p_session uuid, p_state text)
returns void
language sql volatile security invoker
set search_path = ''
as $$
  update listener.sessions as session
  set
    status = pose.status,
    attempt = case when pose.status = 'processing' then 1 else session.attempt end,
    worker = case when pose.status = 'processing' then session.id end,
    claim_id = case when pose.status = 'processing' then session.id end,
    run_at = case when pose.status = 'delayed' then pose.now end,
    progress = case
      when pose.status = 'completed' then 100
      when p_state = 'running' then 37
      when p_state in ('queued', 'delayed', 'started') then 0
      else session.progress
    end,
    note = case when p_state = 'running' then repeat('n', 500) end,
    result = case when pose.status = 'completed' then '{"probe": true}'::jsonb end,
    error_code = case when pose.status = 'failed' then repeat('c', 200) end,
    error_message = case when pose.status = 'failed' then repeat('m', 2000) end,
    error_details = case when pose.status = 'failed' then listener.error_details('probe', null, pose.now) end,
    started_at = case when p_state = 'started' then pose.now else session.started_at end,
    finished_at = case when pose.status in ('completed', 'failed', 'cancelled') then pose.now end,
    updated_at = pose.now
  from (
    select case when p_state in ('started', 'running') then 'processing' else p_state end as status, listener.clock() as now
  ) as pose
  where session.id = p_session
$$;

revoke all on function listener.pose_probe(uuid, text) from public, anon, authenticated, service_role;

-- listener.probe_session(table, row_id) -> uuid
-- A session of a probe row that costs nothing and stands in nobody's way. For the dry run alone, which rolls it back.
create function listener.probe_session(p_table listener.session_tables, p_row_id uuid)
returns uuid
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_owner uuid := gen_random_uuid();
  v_session uuid;
begin
  insert into listener.accounts (owner) values (v_owner);
  insert into listener.sessions as session (
    table_id, row_id, kind, owner, params, cost, start_tag, fair_tag, max_attempts, time_limit_s, request_id
  )
  values (p_table.id, p_row_id, p_table.kind, v_owner, '{}', 0, 0, 0, 100, 300, 'probe')
  returning session.id into v_session;
  insert into listener.artifacts (session, attempt, name, bucket, path, size_bytes, content_type, url)
  values (v_session, 1, 'probe', 'probe', 'probe/probe.png', 1, 'image/png', 'https://probe');
  return v_session;
end
$$;

revoke all on function listener.probe_session(listener.session_tables, uuid) from public, anon, authenticated, service_role;

-- listener.probe_walks() -> (states, role, is_copy)
-- The ways of a session that a dry run tries. First with bare rows and without the app's triggers: what a table demands of state
-- must hold for any row. Then with a copy of an existing row, if there is one, and the app's triggers. Each as both roles that
-- write states: the workers', and the owner of the definer functions by which users cancel and delete.
create function listener.probe_walks()
returns table (states text[], role name, is_copy boolean)
language sql stable security invoker
set search_path = ''
as $$
  select string_to_array(way.states, ' '), role.name, variant.is_copy
  from (values (false), (true)) as variant (is_copy)
  cross join (
    values
      ('queued started running completed'),
      ('queued started running delayed queued started failed'),
      ('queued started running cancelled'),
      ('queued cancelled'),
      ('queued failed')
  ) as way (states)
  cross join (
    select 'service_role'::name
    union
    select pg_get_userbyid(routine.proowner) from pg_catalog.pg_proc as routine
    where routine.pronamespace = 'listener'::regnamespace and routine.proname = 'withdraw_sessions'
  ) as role (name)
  order by variant.is_copy
$$;

revoke all on function listener.probe_walks() from public, anon, authenticated, service_role;

-- listener.project(sessions) -> uuid[]
-- Writes the state of sessions onto their visible rows, version + 1 each, and returns the sessions whose row was not reached:
-- it is gone, or its table is broken. An error that lies in the table marks it broken; it never stops other tables.
-- Locks:  visible rows, which the caller has locked before.
create function listener.project(p_sessions uuid[])
returns uuid[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_table record;
  v_reached uuid[];
  v_missed uuid[] := '{}'::uuid[];
begin
  for v_table in
    select
      state.table_id, array_agg(state.session) as sessions, array_agg(state.row_id) as row_ids,
      array_agg(
        row(
          state.row_id, state.status, state.progress, state.message, state.error_code, state.error_message,
          state.error_details, state.result, state.started_at, state.finished_at, state.updated_at
        )::listener.visible_state
      ) as states
    from listener.visible_states as state
    where state.session = any(p_sessions)
    group by state.table_id
    order by state.table_id
  loop
    v_reached := listener.show_states(v_table.table_id, v_table.states);
    if cardinality(v_reached) < cardinality(v_table.row_ids) then
      v_missed := v_missed || array(
        select pair.session
        from unnest(v_table.sessions, v_table.row_ids) as pair (session, row_id)
        where pair.row_id <> all(v_reached)
      );
    end if;
  end loop;
  return v_missed;
end
$$;

revoke all on function listener.project(uuid[]) from public, anon, authenticated;
grant execute on function listener.project(uuid[]) to service_role;

-- listener.promote_delayed(limit) -> integer
-- Makes delayed sessions claimable whose time has come. Their visible rows show queued before and after: nothing to project.
-- Locks:  sessions, skip locked.
create function listener.promote_delayed(p_limit integer)
returns integer
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_promoted integer;
begin
  with due as (
    select session.id
    from listener.sessions as session
    where session.status = 'delayed' and session.run_at <= (select listener.clock())
    order by session.run_at
    limit p_limit
    for no key update skip locked
  ),
  promoted as (
    update listener.sessions as session
    set status = 'queued', run_at = null
    from due
    where session.id = due.id
    returning session.id
  )
  select count(*) into v_promoted from promoted;
  return v_promoted;
end
$$;

revoke all on function listener.promote_delayed(integer) from public, anon, authenticated;
grant execute on function listener.promote_delayed(integer) to service_role;

-- listener.prune_finished(limit) -> integer
-- Removes what nobody needs any more: events of kinds with keep_events_days; workers that expired a week ago; what prune_partners
-- and prune_sessions remove. Visible rows and the ledger stay. Answers how many sessions went.
-- Security definer: nobody else may delete from these tables.
-- Locks:  sessions, skip locked.
create function listener.prune_finished(p_limit integer)
returns integer
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  v_now timestamptz := listener.clock();
begin
  perform listener.prune_partners(p_limit);
  delete from listener.workers as worker where worker.expired_at < v_now - interval '7 days';

  delete from listener.events as event
  where event.ctid = any(array(
    select old.ctid
    from listener.kinds as policy
    cross join lateral (
      select told.ctid
      from listener.events as told
      where told.kind = policy.kind and told.at < v_now - make_interval(days => policy.keep_events_days)
      limit p_limit
      for update skip locked
    ) as old
    where policy.keep_events_days is not null
  ));

  return listener.prune_sessions(p_limit);
end
$$;

revoke all on function listener.prune_finished(integer) from public, anon, authenticated;
grant execute on function listener.prune_finished(integer) to service_role;

-- listener.prune_partners(limit)
-- Forgets deliveries that ended 30 days ago and the daily use of keys after 400 days.
-- Security definer: nobody else may delete from these tables.
-- Locks:  deliveries, skip locked.
create function listener.prune_partners(p_limit integer)
returns void
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  v_now timestamptz := listener.clock();
begin
  delete from listener.deliveries as delivery
  where delivery.id = any(array(
    select old.id
    from listener.deliveries as old
    where old.ended_at < v_now - interval '30 days'
    order by old.ended_at
    limit p_limit
    for update skip locked
  ));
  delete from listener.api_key_days as used where used.day < (v_now at time zone 'utc')::date - 400;
end
$$;

revoke all on function listener.prune_partners(integer) from public, anon, authenticated;
grant execute on function listener.prune_partners(integer) to service_role;

-- listener.prune_sessions(limit) -> integer
-- Removes finished sessions of kinds with keep_days, once their artifacts are gone (their paths tell the expiry which objects to
-- remove) and their partners told; what they had cost is added up before. Answers how many went.
-- Security definer: nobody else may delete from this table.
-- Locks:  sessions, skip locked.
create function listener.prune_sessions(p_limit integer)
returns integer
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  v_now timestamptz := listener.clock();
  v_pruned integer;
begin
  with gone as (
    delete from listener.sessions as session
    where session.id = any(array(
      select old.id
      from listener.kinds as policy
      cross join lateral (
        select done.id
        from listener.sessions as done
        where
          done.kind = policy.kind and done.finished_at < v_now - make_interval(days => policy.keep_days)
          and not exists (select from listener.artifacts as artifact where artifact.session = done.id)
          and not exists (select from listener.deliveries as told where told.session = done.id and told.ended_at is null)
        order by done.finished_at
        limit p_limit
        for update skip locked
      ) as old
      where policy.keep_days is not null
    ))
    returning session.kind, session.owner, (session.finished_at at time zone 'utc')::date as day, session.device_s, session.cost_usd
  ),
  added as (
    insert into listener.pruned_costs as known (day, kind, owner, sessions, device_s, cost_usd)
    select gone.day, gone.kind, gone.owner, count(*), sum(gone.device_s), sum(gone.cost_usd)
    from gone
    group by gone.day, gone.kind, gone.owner
    order by gone.day, gone.kind, gone.owner
    on conflict (day, kind, owner) do update set
      sessions = known.sessions + excluded.sessions,
      device_s = coalesce(known.device_s + excluded.device_s, known.device_s, excluded.device_s),
      cost_usd = coalesce(known.cost_usd + excluded.cost_usd, known.cost_usd, excluded.cost_usd)
  )
  select count(*) into v_pruned from gone;
  return v_pruned;
end
$$;

revoke all on function listener.prune_sessions(integer) from public, anon, authenticated;
grant execute on function listener.prune_sessions(integer) to service_role;

-- listener.publish_table(table)
-- Puts a table into Realtime's publication, unless it is there; after the grants: see schemas/listener.sql.
create function listener.publish_table(p_table listener.session_tables)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_is_published boolean := exists (
    select from pg_catalog.pg_publication_tables as published
    inner join pg_catalog.pg_class as class on published.tablename = class.relname
    inner join pg_catalog.pg_namespace as namespace
      on class.relnamespace = namespace.oid and published.schemaname = namespace.nspname
    where published.pubname = 'supabase_realtime' and class.oid = p_table.relation
  );
begin
  if v_is_published then
    return;
  end if;
  execute format('alter publication supabase_realtime add table %s', p_table.relation);
  update listener.session_tables as known set is_published_here = true where known.id = p_table.id;
end
$$;

revoke all on function listener.publish_table(listener.session_tables) from public, anon, authenticated, service_role;

-- public.queue_status(row_id) -> jsonb
-- A signed-in user's door to listener.own_queue_status.
create function public.queue_status(p_row_id uuid)
returns jsonb
language plpgsql stable security invoker
set search_path = ''
as $$
begin
  return listener.own_queue_status(p_row_id);
end
$$;

revoke all on function public.queue_status(uuid) from public, anon, authenticated, service_role;
grant execute on function public.queue_status(uuid) to authenticated;

-- listener.queue_status_of(owner, row_id) -> jsonb
-- Where an owner's session stands: {"status", "position", "ahead", "is_more_ahead", "retry_in_s", "estimate_s",
-- "estimate_basis", "reason"}. position is 1 for the next to start and 0 once it runs; null with is_more_ahead when more than
-- 1000 are ahead, which are not counted further. estimate_s runs to the end of the session; null with a reason when it is
-- unknown: finished, waiting_to_retry, interrupted, queue_too_long, out_of_order, paused, own_limit, no_worker, no_measurements,
-- longer_than_usual.
-- A plan with a head start may still step in front.
-- Security definer: who may call this may not estimate for everybody.
-- Units: seconds.
-- Raises: SL002 session_unknown, also for other owners' sessions.
create function listener.queue_status_of(p_owner uuid, p_row_id uuid)
returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  v_session listener.sessions;
  v_ahead integer;
  v_estimate jsonb;
begin
  select session.* into v_session
  from listener.sessions as session
  where session.row_id = p_row_id and session.owner = p_owner
  order by session.finished_at nulls first
  limit 1;
  if v_session.id is null then
    raise exception 'session_unknown' using errcode = 'SL002';
  end if;

  v_ahead := case v_session.status
    when 'queued' then listener.count_ahead(v_session.kind, v_session.fair_tag, v_session.seq)
    when 'processing' then 0
  end;
  v_estimate := listener.estimate(v_session, v_ahead);
  return jsonb_build_object(
    'status', case v_session.status when 'delayed' then 'queued' else v_session.status end,
    'position', case when v_session.status = 'processing' then 0 when v_ahead <= 1000 then v_ahead + 1 end,
    'ahead', case when v_ahead > 1000 then 1000 else v_ahead end,
    'is_more_ahead', coalesce(v_ahead > 1000, false),
    'retry_in_s', case
      when v_session.status = 'delayed'
        then greatest(ceil(extract(epoch from v_session.run_at - listener.clock())), 0)::integer
    end
  ) || v_estimate;
end
$$;

revoke all on function listener.queue_status_of(uuid, uuid) from public, anon, authenticated;
grant execute on function listener.queue_status_of(uuid, uuid) to service_role;

-- listener.read_due(sessions) -> due_session[]
-- What a claim needs to know of sessions that it has locked, in the order given.
create function listener.read_due(p_sessions uuid[])
returns listener.due_session[]
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  return array(
    select
      row(
        session.id, session.table_id, session.row_id, session.kind, session.work, session.start_tag, session.fair_tag,
        session.seq
      )::listener.due_session
    from unnest(p_sessions) with ordinality as given (id, ordinal)
    inner join listener.sessions as session on given.id = session.id
    order by given.ordinal
  );
end
$$;

revoke all on function listener.read_due(uuid[]) from public, anon, authenticated;
grant execute on function listener.read_due(uuid[]) to service_role;

-- listener.read_failures(items) -> (session, attempt, code, message, details, delay_s)
-- The items of fail_sessions and retry_sessions as rows, once per (session, attempt), bounded and with the default code.
-- Units: delay_s is seconds, 0..86400.
create function listener.read_failures(p_items jsonb)
returns table (
  session uuid, attempt integer, code text, message text, details jsonb, delay_s double precision
)
language sql immutable security invoker
set search_path = ''
as $$
  select distinct on (given.session, given.attempt)
    given.session,
    given.attempt,
    left(coalesce(nullif(given.code, ''), 'generation_failed'), 200),
    left(given.message, 2000),
    given.details,
    least(greatest(coalesce(given.delay_s, 0), 0), 86400)
  from jsonb_to_recordset(p_items) as given (
    session uuid, attempt integer, code text, message text, details jsonb, delay_s double precision
  )
$$;

revoke all on function listener.read_failures(jsonb) from public, anon, authenticated;
grant execute on function listener.read_failures(jsonb) to service_role;

-- listener.read_workers() -> setof (name, kinds, slots, running, version, started_at, lease_left_s, state)
-- The workers whose lease runs, oldest first.
-- Security definer: see tables/workers.sql.
-- Units: lease_left_s is seconds.
create function listener.read_workers()
returns table (
  name text, kinds text[], slots integer, running bigint, version text, started_at timestamptz, lease_left_s integer,
  state text
)
language sql stable security definer
set search_path = ''
as $$
  select
    worker.name,
    worker.kinds,
    worker.slots,
    (
      select count(*)
      from listener.sessions as session
      where session.worker = worker.id and session.status = 'processing'
    ),
    worker.version,
    worker.started_at,
    extract(epoch from worker.lease_expires_at - listener.clock())::integer,
    worker.state
  from listener.workers as worker
  where worker.expired_at is null and worker.lease_expires_at > listener.clock()
  order by worker.started_at, worker.id
$$;

revoke all on function listener.read_workers() from public, anon, authenticated;
grant execute on function listener.read_workers() to service_role;

-- listener.rebind_tables() trigger, after the registry changed
-- Writes the functions that touch visible rows anew.
create function listener.rebind_tables()
returns trigger
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  perform listener.bind_tables();
  return null;
end
$$;

revoke all on function listener.rebind_tables() from public, anon, authenticated, service_role;

-- public.recent_failures(hours, limit) -> jsonb
-- What failed for good lately. Answers {"counts", "failures"}: how often each code of each kind, most often first, and the
-- newest failures, newest first, as their rows show them.
-- Units: p_hours counts back from now.
create function public.recent_failures(p_hours double precision default 24, p_limit integer default 20)
returns jsonb
language sql stable security invoker
set search_path = ''
as $$
  with failed as (
    select session.*
    from listener.kinds as kinds
    -- One range of the index (kind, finished_at) for each kind.
    cross join lateral (
      select ended.*
      from listener.sessions as ended
      where
        ended.kind = kinds.kind and ended.status = 'failed'
        and ended.finished_at >= listener.clock() - make_interval(secs => greatest(p_hours, 0) * 3600)
    ) as session
  ),

  newest as (
    select failed.* from failed order by failed.finished_at desc, failed.id limit least(greatest(p_limit, 0), 1000)
  )

  select jsonb_build_object(
    'counts', (
      select
        coalesce(
          jsonb_agg(to_jsonb(counted) order by counted.count desc, counted.kind, counted.code),
          '[]'
        )
      from (
        select failed.kind, failed.error_code as code, count(*) as count, max(failed.finished_at) as last_at
        from failed
        group by failed.kind, failed.error_code
      ) as counted
    ),
    'failures', (
      select
        coalesce(
          jsonb_agg(
            jsonb_build_object(
              'finished_at', newest.finished_at, 'kind', newest.kind, 'code', newest.error_code,
              'message', newest.error_message, 'details', newest.error_details, 'request_id', newest.request_id,
              'row_id', newest.row_id, 'attempt', newest.attempt
            )
            order by newest.finished_at desc, newest.id
          ),
          '[]'
        )
      from newest
    )
  )
$$;

revoke all on function public.recent_failures(double precision, integer) from public, anon, authenticated;
grant execute on function public.recent_failures(double precision, integer) to service_role;

-- listener.record_delivery() trigger, after update, for each row
-- Writes the delivery of a session that finished, in the transaction that settled it, if its store has an active webhook.
-- Locks:  shared, against set_partner_webhook: a session that finishes after a webhook became active is told, however they overlap.
create function listener.record_delivery()
returns trigger
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_now timestamptz;
begin
  perform pg_advisory_xact_lock_shared(hashtext('listener.partner_webhooks'), hashtext(new.owner::text));
  v_now := listener.clock();
  insert into listener.deliveries (session, store, event, next_at, created_at)
  select new.id, hook.store, 'session.' || new.status, v_now, v_now
  from listener.partner_webhooks as hook
  where hook.store = new.owner and hook.active;
  return null;
end
$$;

revoke all on function listener.record_delivery() from public, anon, authenticated;
grant execute on function listener.record_delivery() to service_role;

-- listener.record_events(sessions, event)
-- Writes an event of each session: generation_queued, generation_failed of those that failed, pack_completed of packs.
-- generation_started and generation_completed are written by claim_sessions and write_completed in the statements that they tell of.
-- Called where a session is registered, fails and is settled, by that transaction: a second time would break the key. One call
-- for all sessions, not a trigger: those cost half as much again for a statement, and twice as much for a row.
create function listener.record_events(p_sessions uuid[], p_event text)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  insert into listener.events (session, event, occurrence, kind, owner, properties, at)
  select
    session.id,
    p_event,
    '',
    session.kind,
    session.owner,
    case p_event
      when 'generation_queued' then jsonb_build_object(
        'character_id', session.params ->> 'character_id',
        'image_count',
        case when session.params ->> 'image_count' ~ '^[0-9]{1,6}$' then (session.params ->> 'image_count')::integer else 1 end
      )
      when 'generation_failed' then jsonb_build_object(
        'character_id', session.params ->> 'character_id', 'error_type', session.error_code
      )
      when 'pack_completed' then jsonb_build_object(
        'character_id', session.params ->> 'character_id',
        'image_count', (
          select count(*) from listener.artifacts as artifact
          where artifact.session = session.id and artifact.attempt = session.attempt and artifact.content_type like 'image/%'
        ),
        'total_duration_ms', floor(1000 * extract(epoch from session.finished_at - session.created_at))::bigint
      )
    end,
    coalesce(session.finished_at, session.started_at, session.created_at)
  from listener.sessions as session
  where
    session.id = any(p_sessions)
    and session.kind in (select kind.kind from listener.kinds as kind where kind.records_events)
    and (p_event <> 'generation_failed' or session.status = 'failed')
    and (p_event <> 'pack_completed' or session.kind = 'pack');
end
$$;

revoke all on function listener.record_events(uuid[], text) from public, anon, authenticated;
grant execute on function listener.record_events(uuid[], text) to service_role;

-- listener.record_stored() trigger, after insert, for each statement, transition table new_artifacts
-- Writes image_stored for artifacts that are new; one that replaces another of its name is no new event.
create function listener.record_stored()
returns trigger
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  insert into listener.events (session, event, occurrence, kind, owner, properties, at)
  select
    session.id,
    'image_stored',
    artifact.attempt::text || '/' || artifact.name,
    session.kind,
    session.owner,
    jsonb_build_object('character_id', session.params ->> 'character_id', 'size_bytes', artifact.size_bytes),
    artifact.created_at
  from new_artifacts as artifact
  inner join listener.sessions as session on artifact.session = session.id
  where session.kind in (select kind.kind from listener.kinds as kind where kind.records_events);
  return null;
end
$$;

revoke all on function listener.record_stored() from public, anon, authenticated;

-- listener.refund(sessions) -> integer
-- Gives back what settled sessions did not earn, once each: the ledger's key makes the second time nothing. A failed or
-- cancelled session gives back its cost, a completed one nothing, unless settling wrote another amount into refund_due.
-- What the app took is given back by the app: see refund_by_app. Returns the credits given back now.
-- Locks:  accounts, ascending owner; the sessions are locked by the caller. For no key update: a second update of a session in
--         one transaction takes its foreign key's key share, and two of those raised to for update wait for each other (seen).
create function listener.refund(p_sessions uuid[])
returns integer
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_refunded integer;
begin
  perform from listener.accounts as account
  where account.owner in (
    select session.owner from listener.sessions as session
    where
      session.id = any(p_sessions) and session.cost > 0 and not session.paid_by_app
      and (session.status <> 'completed' or session.refund_due > 0)
  )
  order by account.owner
  for no key update;

  with booked as (
    insert into listener.ledger as entry (key, entry, owner, amount, session, reason, created_at)
    select
      'refund:' || session.id::text, 'refund', session.owner, part.amount, session.id,
      case session.status when 'failed' then session.error_code when 'completed' then 'undelivered' else session.status end,
      listener.clock()
    from listener.sessions as session
    cross join lateral (
      select case
        when session.status in ('failed', 'cancelled') then coalesce(session.refund_due, session.cost)
        when session.status = 'completed' then session.refund_due
      end as amount
    ) as part
    where session.id = any(p_sessions) and part.amount > 0 and not session.paid_by_app
    on conflict (key) do nothing
    returning entry.owner, entry.amount
  ),
  due as (
    select booked.owner, sum(booked.amount)::integer as amount from booked group by booked.owner
  ),
  paid as (
    update listener.accounts as account
    set balance = account.balance + due.amount
    from due
    where account.owner = due.owner
    returning due.amount
  )
  select coalesce(sum(paid.amount), 0) into v_refunded from paid;
  return v_refunded + listener.refund_by_app(p_sessions);
end
$$;

revoke all on function listener.refund(uuid[]) from public, anon, authenticated;
grant execute on function listener.refund(uuid[]) to service_role;

-- listener.refund_by_app(sessions) -> integer
-- Lets apps give back what they took themselves, once for each settled session; see pay_app_refunds. Returns the credits that
-- were not owed before.
-- Locks:  the new rows of app_refunds; then whatever the app's function locks, as the last of all locks.
create function listener.refund_by_app(p_sessions uuid[])
returns integer
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_owed uuid[];
  v_amount integer;
  v_now timestamptz := listener.clock();
begin
  if not exists (select from listener.sessions as session where session.id = any(p_sessions) and session.paid_by_app) then
    return 0;
  end if;
  with owed as (
    insert into listener.app_refunds as refund (session, row_id, on_refund, amount, created_at, call_at)
    select session.id, session.row_id, registry.on_refund, part.amount, v_now, v_now
    from listener.sessions as session
    inner join listener.session_tables as registry on session.table_id = registry.id
    cross join lateral (
      select case
        when session.status in ('failed', 'cancelled') then coalesce(session.refund_due, session.cost)
        when session.status = 'completed' then session.refund_due
      end as amount
    ) as part
    where session.id = any(p_sessions) and session.paid_by_app and part.amount > 0
    on conflict (session) do nothing
    returning refund.session, refund.amount
  )
  select array_agg(owed.session), coalesce(sum(owed.amount), 0) into v_owed, v_amount from owed;
  perform listener.pay_app_refunds(v_owed);
  return v_amount;
end
$$;

revoke all on function listener.refund_by_app(uuid[]) from public, anon, authenticated;
grant execute on function listener.refund_by_app(uuid[]) to service_role;

-- listener.refund_misfits(table) -> setof misfit
-- Why the app's own refund function could not be called.
create function listener.refund_misfits(p_table listener.session_tables)
returns setof listener.misfit
language sql stable security invoker
set search_path = ''
as $$
  select misfit.name, misfit.detail, misfit.hint
  from (select to_regprocedure(p_table.on_refund) as oid) as given
  left join pg_catalog.pg_proc as routine on given.oid = routine.oid
  cross join lateral (
    values
      (given.oid is null, 'on_refund_missing', format('There is no function %s.', p_table.on_refund),
        'Name it with its schema and arguments: on_refund => ''public.give_back(uuid,integer)''.'),
      (routine.prokind <> 'f'
        or array(select unnest(routine.proargtypes)) <> array['uuid'::regtype, 'integer'::regtype]::oid[],
        'on_refund_takes_other_arguments', format('%s does not take (uuid, integer).', given.oid),
        'It is called with the id of the row and the amount.'),
      (not has_function_privilege('service_role', given.oid, 'execute')
        or not has_schema_privilege('service_role', routine.pronamespace, 'usage'),
        'on_refund_closed_to_workers', format('service_role may not execute %s.', given.oid),
        format('grant execute on function %s to service_role; and usage on its schema.', given.oid))
  ) as misfit (applies, name, detail, hint)
  where p_table.on_refund is not null and misfit.applies
$$;

revoke all on function listener.refund_misfits(listener.session_tables) from public, anon, authenticated, service_role;

-- public.refund_session(session) -> jsonb
-- Makes sure that a failed or cancelled session's credits went back; settling has done so already. Answers {"refunded", "outcome"}.
-- Locks:  the session, then the account.
-- Raises: SL002 session_unknown; SL003 transition_refused while it is open or when it completed: goodwill is a grant.
create function public.refund_session(p_session uuid)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_status text;
  v_refunded integer;
begin
  select session.status into v_status
  from listener.sessions as session
  where session.id = p_session
  for no key update;
  if v_status is null then
    raise exception 'session_unknown' using errcode = 'SL002';
  elsif v_status not in ('failed', 'cancelled') then
    raise exception 'transition_refused' using errcode = 'SL003', detail = 'The session is ' || v_status || '.';
  end if;
  v_refunded := listener.refund(array[p_session]);
  return jsonb_build_object(
    'refunded', v_refunded, 'outcome', case when v_refunded > 0 then 'applied' else 'already' end
  );
end
$$;

revoke all on function public.refund_session(uuid) from public, anon, authenticated;
grant execute on function public.refund_session(uuid) to service_role;

-- listener.refuse_table(relation, misfits)
-- Ends a watch or mend with all misfits found, by name; nothing when there are none.
-- Raises: 55000, message "... cannot be watched: name, name", with what was found as detail and what to do as hint.
create function listener.refuse_table(p_relation regclass, p_misfits listener.misfit[])
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_names text;
  v_details text;
  v_hints text;
begin
  select string_agg(misfit.name, ', '), string_agg(misfit.detail, e'\n'), string_agg(misfit.hint, e'\n')
  into v_names, v_details, v_hints
  from unnest(p_misfits) as misfit;
  if v_names is not null then
    raise exception using
      errcode = '55000',
      message = format('%s cannot be watched: %s', p_relation, v_names),
      detail = v_details,
      hint = v_hints;
  end if;
end
$$;

revoke all on function listener.refuse_table(regclass, listener.misfit[]) from public, anon, authenticated, service_role;

-- listener.refuse_truncate() trigger, before truncate, for each statement
-- TRUNCATE would pass by the trigger that cancels and refunds.
-- Raises: 0A000; delete the rows instead.
create function listener.refuse_truncate()
returns trigger
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  raise exception 'a session table cannot be truncated' using
    errcode = '0A000',
    hint = 'Delete the rows: their sessions are cancelled and refunded then.';
end
$$;

revoke all on function listener.refuse_truncate() from public, anon, authenticated;

-- listener.refuse_unreadable(rows)
-- Refuses rows that no worker could read: one such row would stop every worker that claims it. JSON readers give up at about
-- 1,000 levels and at integers of some thousand digits; what is larger than a double is no number to a handler anyway.
-- Units: the size is bytes.
-- Raises: 23514 params_unreadable; the message is constant.
create function listener.refuse_unreadable(p_rows jsonb[])
returns void
language plpgsql immutable security invoker
set search_path = ''
as $$
begin
  if exists (
    select from unnest(p_rows) as arriving (fields)
    where
      pg_column_size(arriving.fields) > 33554432
      or jsonb_path_exists(arriving.fields, 'strict $.**{64}')
      or jsonb_path_exists(arriving.fields, 'strict $.** ? (@.type() == "number") ? (@ > 1.79e308 || @ < -1.79e308)')
  ) then
    raise exception 'params_unreadable' using
      errcode = '23514',
      detail = 'A row is nested deeper than 60 levels, larger than 32 MiB, or holds a number beyond a double.',
      hint = 'Keep large inputs in the storage and name them in the row.';
  end if;
end
$$;

revoke all on function listener.refuse_unreadable(jsonb[]) from public, anon, authenticated, service_role;

-- listener.register_rows(relation, rows, is_limited) -> integer
-- Records a session for each of these rows of a session table that stands at queued, and charges its owner: all of them or none.
-- Returns how many. Their order is the order in which they queue. Rate limits (is_limited) are for rows that somebody inserts, not
-- for those that were there when the table was adopted.
-- Locks:  accounts, ascending owner.
-- Raises: 23514 when no worker could read a row; 23502 when a row has no owner; PT402 credits_insufficient; PGRST with status 429;
--         23505 when a row's id was a session of this table before; 55000 when the table has lost its status column.
create function listener.register_rows(p_relation oid, p_rows jsonb[], p_is_limited boolean default false)
returns integer
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_table listener.session_tables;
  v_rows jsonb[];
  v_owners uuid[];
  v_sessions uuid[];
begin
  select registry.*
  into strict v_table
  from listener.session_tables as registry
  where registry.relation = p_relation;
  v_rows := array(
    select arriving.fields
    from unnest(p_rows) with ordinality as arriving (fields, ordinal)
    where arriving.fields ->> (v_table.columns ->> 'status') = 'queued'
    order by arriving.ordinal
  );
  if cardinality(v_rows) = 0 then
    if exists (select from unnest(p_rows) as arriving where not arriving ? (v_table.columns ->> 'status')) then
      raise exception 'session_table_without_status' using
        errcode = '55000',
        detail = format('%s has no column %s, so nobody can say which rows are sessions.', v_table.relation, v_table.columns ->> 'status'),
        hint = 'Give it back its name, or map the new one: listener.mend.';
    end if;
    return 0;
  end if;
  perform listener.refuse_unreadable(v_rows);
  v_owners := array(select (arriving ->> v_table.owner_column)::uuid from unnest(v_rows) as arriving);
  if array_position(v_owners, null) is not null then
    raise exception 'a queued row needs an owner' using errcode = '23502', column = v_table.owner_column;
  end if;
  perform listener.open_accounts(v_owners);
  if p_is_limited then
    perform listener.check_rates(v_owners);
  end if;
  if v_table.credits > 0 and v_table.on_refund is null then
    perform listener.welcome_accounts(v_owners);
  end if;

  v_sessions := listener.enter_sessions(v_table, v_rows, v_owners);
  perform listener.charge(v_sessions);
  perform listener.record_events(v_sessions, 'generation_queued');
  return cardinality(v_sessions);
end
$$;

revoke all on function listener.register_rows(oid, jsonb[], boolean) from public, anon, authenticated, service_role;

-- listener.register_sessions() trigger, after insert, for each statement, transition table new_rows
-- Makes the rows that arrived sessions, in the inserting transaction, and tells the workers of listener.webhooks: see
-- register_rows and send_webhooks.
-- Security definer: users insert rows but never touch the private schema.
-- Locks:  accounts, ascending owner.
create function listener.register_sessions()
returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  if listener.register_rows(tg_relid, array(select to_jsonb(new_rows) from new_rows), true) > 0 then
    perform listener.send_webhooks(tg_relid);
  end if;
  return null;
end
$$;

revoke all on function listener.register_sessions() from public, anon, authenticated;

-- public.register_worker(worker, name, kinds, slots, devices, version, lease_s) -> jsonb
-- Starts a worker's lease, or starts it again after it was lost. Answers {"schema_version", "oldest_worker", "lease_s", "tables"}.
-- Units: lease_s is seconds, bounded to 2..300.
-- Locks:  the worker's row.
create function public.register_worker(
  p_worker uuid, p_name text, p_kinds text[], p_slots integer, p_devices jsonb, p_version text, p_lease_s integer
)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  return jsonb_build_object(
    'schema_version', listener.schema_version(),
    'oldest_worker', listener.oldest_worker(),
    'lease_s', listener.enlist_worker(p_worker, p_name, p_kinds, p_slots, p_devices, p_version, p_lease_s),
    'tables', listener.served_tables(p_kinds)
  );
end
$$;

revoke all on function public.register_worker(uuid, text, text[], integer, jsonb, text, integer)
from public, anon, authenticated;
grant execute on function public.register_worker(uuid, text, text[], integer, jsonb, text, integer) to service_role;

-- listener.relation_misfits(table) -> setof misfit
-- What about the relation itself and its key cannot be watched.
create function listener.relation_misfits(p_table listener.session_tables)
returns setof listener.misfit
language sql stable security invoker
set search_path = ''
as $$
  select misfit.name, misfit.detail, misfit.hint
  from pg_catalog.pg_class as class
  inner join pg_catalog.pg_namespace as namespace on class.relnamespace = namespace.oid
  left join pg_catalog.pg_constraint as pk on pk.conrelid = class.oid and pk.contype = 'p'
  left join pg_catalog.pg_attribute as id on id.attrelid = class.oid and id.attnum = pk.conkey[1]
  cross join lateral (
    values
      (class.relkind not in ('r', 'p'), 'not_a_table', 'It is a view, a foreign table or no table at all.',
        'Watch the table behind it.'),
      (class.relkind = 'p' or class.relispartition, 'partitioned_table',
        'It is partitioned, or a partition: its triggers would see the partition in place of the table.',
        'Keep the session rows in an ordinary table.'),
      (not class.relispartition and exists (
          select from pg_catalog.pg_inherits as inherits where class.oid in (inherits.inhrelid, inherits.inhparent)
        ), 'inherited_table', 'It inherits from a table, or a table inherits from it.',
        'Keep the session rows in a table of their own.'),
      (class.relpersistence <> 'p', 'table_is_not_permanent',
        'It is temporary or unlogged: its rows are not replicated, so nobody would hear of them.',
        'Use a permanent, logged table.'),
      (namespace.nspname in ('listener', 'information_schema') or namespace.nspname like 'pg\_%', 'reserved_schema',
        format('The schema %I is not the app''s.', namespace.nspname), 'Watch a table of the app''s own schema.'),
      (not pg_has_role(current_user, class.relowner, 'usage'), 'not_the_owner',
        format('The table belongs to %I, not to %I.', pg_get_userbyid(class.relowner), current_user),
        'Watch it as its owner, or as a member of that role.'),
      (exists (select from listener.session_tables as known where known.relation = class.oid), 'already_watched',
        'The table is watched.', 'Call listener.unwatch first, or listener.mend when it is broken.'),
      (exists (select from pg_catalog.pg_rewrite as rule where rule.ev_class = class.oid) and class.relkind = 'r',
        'table_with_rules', 'Rules rewrite what is written to it.', 'Drop the rules; use triggers.'),
      (class.relkind = 'r' and pk.oid is null, 'no_primary_key', 'It has no primary key.',
        'Add one: id uuid primary key default gen_random_uuid().'),
      (cardinality(pk.conkey) > 1, 'composite_primary_key', 'Its primary key has several columns.',
        'A session is named by one uuid: make that the primary key and the rest a unique constraint.'),
      (cardinality(pk.conkey) = 1 and id.atttypid <> 'uuid'::regtype, 'primary_key_is_not_uuid',
        format('Its primary key %s is of type %s.', quote_ident(id.attname), format_type(id.atttypid, id.atttypmod)),
        'Make a uuid column the primary key.'),
      (cardinality(pk.conkey) = 1 and id.attname <> p_table.id_column, 'id_column_is_not_the_key',
        format('The primary key is %s, not %s.', quote_ident(id.attname), quote_ident(p_table.id_column)), 'Leave id_column out.')
  ) as misfit (applies, name, detail, hint)
  where class.oid = p_table.relation and misfit.applies
$$;

revoke all on function listener.relation_misfits(listener.session_tables) from public, anon, authenticated, service_role;

-- public.release_sessions(worker, items) -> setof attempt_outcome
-- Gives attempts back to the queue without counting a failure (drain); items are [{"session", "attempt"}], with what they
-- came to, see add_costs.
-- Locks:  visible rows, then sessions, then accounts ascending.
create function public.release_sessions(p_worker uuid, p_items jsonb)
returns setof listener.attempt_outcome
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_outcomes listener.attempt_outcome[] := listener.fence(p_worker, p_items, '{queued,cancelled}');
begin
  perform listener.add_costs(listener.applied(v_outcomes), p_items);
  perform listener.requeue(listener.applied(v_outcomes), false);
  return query select item.session, item.attempt, item.outcome, item.code, item.cancel_requested
  from unnest(v_outcomes) as item;
end
$$;

revoke all on function public.release_sessions(uuid, jsonb) from public, anon, authenticated;
grant execute on function public.release_sessions(uuid, jsonb) to service_role;

-- listener.release_strays(worker, running, open_claims, beats)
-- Releases what the worker holds without knowing it: neither listed as running nor explained by an open claim.
-- A session claimed since the heartbeat before this one is left alone: this heartbeat may have been written before the claim.
-- Locks:  visible rows, then sessions; skip locked.
create function listener.release_strays(p_worker uuid, p_running jsonb, p_open_claims uuid[], p_beats bigint)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_strays uuid[];
begin
  v_strays := array(
    select session.id
    from listener.sessions as session
    where
      session.worker = p_worker and session.status = 'processing' and session.claimed_beat < p_beats
      and session.claim_id <> all(coalesce(p_open_claims, '{}'))
      and not exists (
        select from jsonb_to_recordset(p_running) as item (session uuid, attempt integer)
        where item.session = session.id and item.attempt = session.attempt
      )
  );
  v_strays := listener.hold_sessions(v_strays);
  v_strays := array(
    select session.id from listener.sessions as session
    where session.id = any(v_strays) and session.worker = p_worker and session.claimed_beat < p_beats
  );
  perform listener.requeue(v_strays, false);
  update listener.sessions as session set worker = null where session.id = any(v_strays);
end
$$;

revoke all on function listener.release_strays(uuid, jsonb, uuid[], bigint) from public, anon, authenticated;
grant execute on function listener.release_strays(uuid, jsonb, uuid[], bigint) to service_role;

-- listener.renew_worker(worker, state) -> (beats, kinds)
-- One write renews the lease of all sessions of a worker and makes the canary beat. No row when the sweep has expired it.
-- A state that does not fit is cut: what an operator reads may not cost a lease.
-- Security definer: see tables/workers.sql.
-- Locks:  the worker's row.
create function listener.renew_worker(p_worker uuid, p_state text)
returns table (beats bigint, kinds text[])
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  return query
  update listener.workers as worker
  set beats = worker.beats + 1, lease_expires_at = listener.clock() + make_interval(secs => worker.lease_s),
    state = nullif(left(p_state, 40), '')
  where worker.id = p_worker and worker.expired_at is null
  returning worker.beats, worker.kinds;
end
$$;

revoke all on function listener.renew_worker(uuid, text) from public, anon, authenticated;
grant execute on function listener.renew_worker(uuid, text) to service_role;

-- listener.repeat_claim(worker, claim_id) -> (session, attempt, kind, owner, row_id, params, ...)
-- What a claim answered, as far as it still runs: for claim_sessions, whose answer was lost.
create function listener.repeat_claim(p_worker uuid, p_claim_id uuid)
returns table (
  session uuid, attempt integer, kind text, owner uuid, row_id uuid, params jsonb, bucket text, path_prefix text,
  request_id text, traceparent text, time_limit_s integer, failures integer, max_attempts integer, created_at timestamptz
)
language sql stable security invoker
set search_path = ''
as $$
  select
    held.id, held.attempt, held.kind, held.owner, held.row_id, held.params,
    coalesce(registry.bucket, policy.bucket),
    replace(
      replace(registry.folder, '{owner}', held.owner::text),
      '{character}', translate(coalesce(held.params ->> 'character_id', 'none'), './\', '')
    ) || '/' || held.row_id::text || case when held.attempt > 1 then '.' || held.attempt::text else '' end,
    held.request_id, held.traceparent, held.time_limit_s, held.failures, held.max_attempts, held.created_at
  from listener.sessions as held
  inner join listener.kinds as policy on held.kind = policy.kind
  inner join listener.session_tables as registry on held.table_id = registry.id
  where held.worker = p_worker and held.claim_id = p_claim_id and held.status = 'processing'
  order by held.fair_tag, held.seq
$$;

revoke all on function listener.repeat_claim(uuid, uuid) from public, anon, authenticated;
grant execute on function listener.repeat_claim(uuid, uuid) to service_role;

-- public.report_progress(worker, items) -> setof attempt_outcome
-- Shows how far attempts are: items are [{"session", "attempt", "done", "total", "note"}]. Written as given; the worker throttles.
-- Locks:  visible rows, then sessions.
create function public.report_progress(p_worker uuid, p_items jsonb)
returns setof listener.attempt_outcome
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_outcomes listener.attempt_outcome[] := listener.fence(p_worker, p_items, '{}');
  v_applied uuid[] := listener.applied(v_outcomes);
begin
  update listener.sessions as session
  set
    progress = case when item.total > 0 then least(greatest(floor(100 * item.done / item.total), 0), 100) else 0 end,
    note = left(nullif(item.note, ''), 500),
    updated_at = listener.clock()
  from jsonb_to_recordset(p_items) as item (
    session uuid, attempt integer, done double precision, total double precision, note text
  )
  where session.id = any(v_applied) and session.id = item.session and session.attempt = item.attempt;
  perform listener.project(v_applied);
  return query select item.session, item.attempt, item.outcome, item.code, item.cancel_requested
  from unnest(v_outcomes) as item;
end
$$;

revoke all on function public.report_progress(uuid, jsonb) from public, anon, authenticated;
grant execute on function public.report_progress(uuid, jsonb) to service_role;

-- listener.request_header(name) -> text
-- A header of the HTTP request that runs this transaction, or null: absent, not HTTP, longer than 200 or not printable ASCII.
create function listener.request_header(p_name text)
returns text
language sql stable security invoker
set search_path = ''
as $$
  select header.value
  from (select nullif(current_setting('request.headers', true), '')::jsonb ->> lower(p_name) as value) as header
  where header.value ~ '^[\x21-\x7e]{1,200}$'
$$;

revoke all on function listener.request_header(text) from public, anon, authenticated;
grant execute on function listener.request_header(text) to service_role;

-- public.requested_cancels(worker) -> jsonb
-- The ids of the sessions that a worker holds and whose owners want them cancelled. Writes nothing: a worker asks every second.
create function public.requested_cancels(p_worker uuid)
returns jsonb
language sql stable security invoker
set search_path = ''
as $$
  select coalesce(jsonb_agg(session.id order by session.id), '[]')
  from listener.sessions as session
  where session.worker = p_worker and session.status = 'processing' and session.cancel_requested_at is not null
$$;

revoke all on function public.requested_cancels(uuid) from public, anon, authenticated;
grant execute on function public.requested_cancels(uuid) to service_role;

-- listener.requeue(sessions, is_failure)
-- Gives running sessions back to the queue with their tags: until run_at as delayed, else at once. A failure counts, and the
-- last one that max_attempts allows fails the session; one whose owner asked to cancel is cancelled instead.
-- What ends here is refunded. The caller has set run_at and the error, if any.
-- Locks:  accounts; visible rows and sessions are locked by the caller.
create function listener.requeue(p_sessions uuid[], p_is_failure boolean)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := listener.clock();
  v_failure integer := p_is_failure::integer;
begin
  if cardinality(p_sessions) = 0 then
    return;
  end if;
  update listener.sessions as session
  set
    status = next.status,
    failures = session.failures + v_failure,
    run_at = case when next.status = 'delayed' then session.run_at end,
    finished_at = case when next.status in ('failed', 'cancelled') then v_now end,
    progress = case when next.status in ('queued', 'delayed') then 0 else session.progress end,
    note = null,
    updated_at = v_now
  from (
    select
      held.id,
      case
        when held.cancel_requested_at is not null then 'cancelled'
        when p_is_failure and held.failures + 1 >= held.max_attempts then 'failed'
        when held.run_at > v_now then 'delayed'
        else 'queued'
      end as status
    from listener.sessions as held
    where held.id = any(p_sessions)
  ) as next
  where session.id = next.id;
  perform listener.refund(p_sessions);
  perform listener.record_events(p_sessions, 'generation_failed');
  perform listener.project(p_sessions);
end
$$;

revoke all on function listener.requeue(uuid[], boolean) from public, anon, authenticated;
grant execute on function listener.requeue(uuid[], boolean) to service_role;

-- listener.rescue_sessions(workers, limit) -> uuid[]
-- Takes the sessions of lost workers away from them: queued again while attempts are left, else failed and refunded.
-- Locks:  visible rows, then sessions, skip locked; then accounts.
create function listener.rescue_sessions(p_workers uuid[], p_limit integer)
returns uuid[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_sessions uuid[];
  v_now timestamptz := listener.clock();
begin
  v_sessions := listener.hold_sessions(array(
    select session.id from listener.sessions as session
    where session.status = 'processing' and session.worker = any(p_workers)
    order by session.started_at
    limit p_limit
  ));
  v_sessions := array(
    select session.id from listener.sessions as session
    where session.id = any(v_sessions) and session.worker = any(p_workers)
  );
  update listener.sessions as session
  set
    run_at = null, error_code = 'worker_lost', error_message = 'The generation was interrupted on our side.',
    error_details = listener.error_details('worker_lost', null, v_now)
  where session.id = any(v_sessions);
  perform listener.requeue(v_sessions, true);
  update listener.sessions as session set worker = null where session.id = any(v_sessions);
  return v_sessions;
end
$$;

revoke all on function listener.rescue_sessions(uuid[], integer) from public, anon, authenticated;
grant execute on function listener.rescue_sessions(uuid[], integer) to service_role;

-- listener.reset_state(defaults) trigger, before insert, for each row
-- Gives the state columns of an arriving row their first values, whatever a user wrote there. Roles with service_role's
-- rights are trusted, so that finished rows can be imported. The defaults are the trigger's argument, as jsonb.
create function listener.reset_state()
returns trigger
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  if pg_has_role(current_user, 'service_role', 'usage') then
    return new;
  end if;
  return jsonb_populate_record(new, tg_argv[0]::jsonb);
end
$$;

revoke all on function listener.reset_state() from public, anon, authenticated;

-- listener.retire_deliveries(now)
-- Before deliveries are claimed: takes those back whose worker did not settle them in time, and ends for good what has failed
-- ten times or has no active webhook any more.
-- Locks:  deliveries, which the caller lets nobody else claim; those that are being settled are skipped.
create function listener.retire_deliveries(p_now timestamptz)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  update listener.deliveries as delivery
  set
    status = case when delivery.failures >= 9 then 'dead' else 'waiting' end,
    ended_at = case when delivery.failures >= 9 then p_now end,
    failures = delivery.failures + 1, worker = null, last_status = null, last_error = 'The worker was lost while sending.'
  where delivery.id = any(array(
    select late.id
    from listener.deliveries as late
    where late.status = 'sending' and late.next_at <= p_now
    for no key update skip locked
  ));

  update listener.deliveries as delivery
  set status = 'dead', ended_at = p_now, last_status = null, last_error = 'The webhook is not active.'
  from listener.partner_webhooks as hook
  where delivery.store = hook.store and not hook.active and delivery.status = 'waiting';
end
$$;

revoke all on function listener.retire_deliveries(timestamptz) from public, anon, authenticated;
grant execute on function listener.retire_deliveries(timestamptz) to service_role;

-- public.retry_sessions(worker, items) -> setof attempt_outcome
-- Ends attempts that failed in a way that may pass, and queues their sessions again after delay_s; the failure counts. At
-- max_attempts the session fails and is refunded. Items: [{"session", "attempt", "code", "message", "details", "delay_s"}],
-- with what they came to, see add_costs.
-- Units: delay_s is seconds, 0..86400.
-- Locks:  visible rows, then sessions, then accounts ascending.
create function public.retry_sessions(p_worker uuid, p_items jsonb)
returns setof listener.attempt_outcome
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_outcomes listener.attempt_outcome[] := listener.fence(p_worker, p_items, '{queued,delayed,failed,cancelled}');
  v_applied uuid[] := listener.applied(v_outcomes);
  v_now timestamptz := listener.clock();
begin
  perform listener.add_costs(v_applied, p_items);
  update listener.sessions as session
  set
    error_code = item.code, error_message = item.message,
    error_details = listener.error_details(item.code, item.details, v_now),
    run_at = v_now + make_interval(secs => item.delay_s)
  from listener.read_failures(p_items) as item
  where session.id = any(v_applied) and session.id = item.session and session.attempt = item.attempt;
  perform listener.requeue(v_applied, true);
  return query select item.session, item.attempt, item.outcome, item.code, item.cancel_requested
  from unnest(v_outcomes) as item;
end
$$;

revoke all on function public.retry_sessions(uuid, jsonb) from public, anon, authenticated;
grant execute on function public.retry_sessions(uuid, jsonb) to service_role;

-- public.revoke_api_key(key) -> jsonb
-- Makes a key worthless from now on; what it was used for stays known. Answers {"outcome": applied | already | unknown}.
create function public.revoke_api_key(p_key uuid)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  update listener.api_keys as given
  set revoked_at = listener.clock()
  where given.key = p_key and given.revoked_at is null;
  if found then
    return jsonb_build_object('outcome', 'applied');
  elsif exists (select from listener.api_keys as given where given.key = p_key) then
    return jsonb_build_object('outcome', 'already');
  end if;
  return jsonb_build_object('outcome', 'unknown');
end
$$;

revoke all on function public.revoke_api_key(uuid) from public, anon, authenticated;
grant execute on function public.revoke_api_key(uuid) to service_role;

-- public.rotate_partner_secret(store) -> text
-- Gives a store's webhook a new secret and answers it. The one before it signs beside it until the next rotation, so that the partner
-- can change over without missing anything; called twice, a secret that was betrayed signs no more. Null without a webhook.
create function public.rotate_partner_secret(p_store uuid)
returns text
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_secret text := listener.new_secret();
begin
  update listener.partner_webhooks as hook
  set secrets = array[v_secret, hook.secrets[1]], changed_at = listener.clock()
  where hook.store = p_store;
  return case when found then v_secret end;
end
$$;

revoke all on function public.rotate_partner_secret(uuid) from public, anon, authenticated;
grant execute on function public.rotate_partner_secret(uuid) to service_role;

-- listener.save_artifacts(outcomes, items)
-- Writes the artifacts of those attempts that the fence let through; of one name given twice, the last counts.
create function listener.save_artifacts(p_outcomes listener.attempt_outcome[], p_items jsonb)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  insert into listener.artifacts (
    session, attempt, name, bucket, path, thumbnail_path, width, height, size_bytes, content_type, url, expires_at,
    facts, created_at, updated_at
  )
  select distinct on (item.session, item.attempt, item.name)
    item.session, item.attempt, item.name, item.bucket, item.path, item.thumbnail_path, item.width, item.height,
    item.size_bytes, item.content_type, item.url, item.expires_at, coalesce(item.facts, '{}'), stamp.clock, stamp.clock
  from rows from (
    jsonb_to_recordset(p_items) as (
      session uuid, attempt integer, name text, bucket text, path text, thumbnail_path text, width integer,
      height integer, size_bytes bigint, content_type text, url text, expires_at timestamptz, facts jsonb
    )
  ) with ordinality as item (
    session, attempt, name, bucket, path, thumbnail_path, width, height, size_bytes, content_type, url, expires_at, facts,
    ordinal
  )
  inner join unnest(p_outcomes) as outcome
    on item.session = outcome.session and item.attempt = outcome.attempt and outcome.outcome = 'applied'
  cross join (select listener.clock() as clock) as stamp
  order by item.session, item.attempt, item.name, item.ordinal desc
  on conflict (session, attempt, name) do update set
    bucket = excluded.bucket, path = excluded.path, thumbnail_path = excluded.thumbnail_path, width = excluded.width,
    height = excluded.height, size_bytes = excluded.size_bytes, content_type = excluded.content_type,
    url = excluded.url, expires_at = excluded.expires_at, facts = excluded.facts, updated_at = excluded.updated_at;
end
$$;

revoke all on function listener.save_artifacts(listener.attempt_outcome[], jsonb) from public, anon, authenticated;
grant execute on function listener.save_artifacts(listener.attempt_outcome[], jsonb) to service_role;

-- listener.schema_version() -> integer
-- Grows with whatever a new worker relies on; a worker that was built for a higher one asks for `listener migrate`.
create function listener.schema_version()
returns integer
language sql immutable security invoker
set search_path = ''
as $$
  select 1
$$;

revoke all on function listener.schema_version() from public, anon, authenticated;
grant execute on function listener.schema_version() to service_role;

-- listener.send_webhooks(relation) -> integer
-- Says to each worker of listener.webhooks that sessions of this table arrived: by pg_net, which sends after the commit and only
-- once. Signed as Standard Webhooks has it; the body names the table and carries no row. Once a transaction, table and URL.
-- Never fails: a wake-up that was not sent is a warning, and the sweep finds the session. Returns how many were queued.
-- Dynamic, since pg_net may be absent when this is created and when it is checked.
create function listener.send_webhooks(p_relation oid)
returns integer
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_already text := coalesce(current_setting('listener.webhooks_sent', true), '');
  v_table record;
  v_hook listener.webhooks;
  v_id text := 'msg_' || gen_random_uuid();
  v_time text := floor(extract(epoch from listener.clock()))::text;
  v_body jsonb;
  v_post regproc := to_regproc('net.http_post');
  v_sent integer := 0;
begin
  if strpos(v_already, format('<%s>', p_relation)) > 0 or not exists (select from listener.webhooks) then
    return 0;
  end if;
  select registry.kind, class.relname, namespace.nspname into v_table
  from listener.session_tables as registry
  inner join pg_catalog.pg_class as class on registry.relation = class.oid
  inner join pg_catalog.pg_namespace as namespace on class.relnamespace = namespace.oid
  where registry.relation = p_relation;
  v_body := jsonb_build_object(
    'type', 'INSERT', 'schema', v_table.nspname, 'table', v_table.relname, 'record', null, 'old_record', null
  );
  for v_hook in
    select * from listener.webhooks as hook where hook.kinds is null or v_table.kind = any(hook.kinds) order by hook.url
  loop
    begin
      if v_post is null then
        raise exception 'pg_net is not installed';
      end if;
      execute format('select %s(url := $1, body := $2, headers := $3, timeout_milliseconds := $4)', v_post) using
        v_hook.url, v_body,
        jsonb_build_object(
          'Content-Type', 'application/json',
          'webhook-id', v_id,
          'webhook-timestamp', v_time,
          'webhook-signature', listener.webhook_signature(v_hook, format('%s.%s.%s', v_id, v_time, v_body))
        ),
        v_hook.timeout_ms;
      v_sent := v_sent + 1;
    exception when others then
      raise warning 'listener: no webhook was sent to %: % (%)', v_hook.url, sqlerrm, sqlstate;
    end;
  end loop;
  perform set_config('listener.webhooks_sent', format('%s<%s>', v_already, p_relation), true);
  return v_sent;
end
$$;

revoke all on function listener.send_webhooks(oid) from public, anon, authenticated, service_role;

-- listener.served_tables(kinds) -> jsonb
-- The visible tables that a worker of these kinds listens to: [{"schema", "table", "kind"}]. Broken ones are left out,
-- since one bad binding silences all bindings of its channel.
create function listener.served_tables(p_kinds text[])
returns jsonb
language sql stable security invoker
set search_path = ''
as $$
  select coalesce(
    jsonb_agg(
      jsonb_build_object('schema', namespace.nspname, 'table', class.relname, 'kind', registry.kind) order by registry.id
    ),
    '[]'
  )
  from listener.session_tables as registry
  inner join pg_catalog.pg_class as class on registry.relation = class.oid
  inner join pg_catalog.pg_namespace as namespace on class.relnamespace = namespace.oid
  where registry.kind = any(p_kinds) and registry.broken_at is null
$$;

revoke all on function listener.served_tables(text[]) from public, anon, authenticated;
grant execute on function listener.served_tables(text[]) to service_role;

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

-- public.service_status() -> jsonb
-- What an operator asks first. Answers {"schema_version", "workers", "kinds", "broken_tables"}: the workers that are alive,
-- each with the state that it sent with its newest heartbeat, open sessions of each kind, and tables whose rows can no longer
-- be written, with the reason.
-- One branch for each partial index of listener.sessions: finished sessions cost nothing.
-- Units: oldest_wait_s and lease_left_s are seconds.
create function public.service_status()
returns jsonb
language sql volatile security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'schema_version', listener.schema_version(),
    'workers', (
      select coalesce(jsonb_agg(to_jsonb(worker) order by worker.started_at, worker.name), '[]')
      from listener.read_workers() as worker
    ),
    'kinds', (
      select coalesce(jsonb_agg(to_jsonb(backlog) order by backlog.kind), '[]')
      from (
        select
          kinds.kind,
          count(*) filter (where still_open.status = 'queued') as queued,
          count(*) filter (where still_open.status = 'delayed') as delayed,
          count(*) filter (where still_open.status = 'processing') as processing,
          coalesce(extract(epoch from listener.clock() - min(still_open.waiting_since)), 0)::integer as oldest_wait_s
        from listener.kinds as kinds
        left join (
          select session.kind, session.status, session.created_at as waiting_since
          from listener.sessions as session where session.status = 'queued'
          union all
          select session.kind, session.status, null from listener.sessions as session where session.status = 'delayed'
          union all
          select session.kind, session.status, null from listener.sessions as session where session.status = 'processing'
        ) as still_open on kinds.kind = still_open.kind
        group by kinds.kind
      ) as backlog
    ),
    'broken_tables', (
      select
        coalesce(
          jsonb_agg(
            jsonb_build_object('table', registry.relation::text, 'reason', listener.fault_of_table(registry))
            order by registry.id
          ),
          '[]'
        )
      from listener.session_tables as registry
      where listener.fault_of_table(registry) is not null
    )
  )
$$;

revoke all on function public.service_status() from public, anon, authenticated;
grant execute on function public.service_status() to service_role;

-- listener.set_broadcasts(relation, broadcasts)
-- Switches on, or off, that the states of a watched table's rows go out on the private topics owner:<id>, too. Off by default:
-- each message is an insert in the writing transaction. Mending keeps it, unwatching ends it.
-- Locks:  the table, until the transaction ends.
-- Raises: 55000 not_watched, realtime_missing.
create function listener.set_broadcasts(relation regclass, broadcasts boolean)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_misfit listener.misfit;
begin
  perform listener.hold_table(set_broadcasts.relation);
  if not exists (select from listener.session_tables as known where known.relation = set_broadcasts.relation) then
    v_misfit := row('not_watched', 'The table is not watched.', 'Call listener.watch.');
  elsif
    set_broadcasts.broadcasts
    and (to_regprocedure('realtime.send(jsonb,text,text,boolean)') is null or to_regclass('realtime.messages') is null)
  then
    v_misfit := row(
      'realtime_missing', 'This database has no realtime.send(jsonb, text, text, boolean), or no realtime.messages.',
      'Realtime brings them: update it, and let a client connect once.'
    );
  end if;
  if v_misfit.name is not null then
    raise exception using
      errcode = '55000', message = format('%s cannot broadcast: %s', set_broadcasts.relation, v_misfit.name),
      detail = v_misfit.detail, hint = v_misfit.hint;
  end if;

  execute format('drop trigger if exists listener_broadcast_insert on %s', set_broadcasts.relation);
  execute format('drop trigger if exists listener_broadcast_update on %s', set_broadcasts.relation);
  if set_broadcasts.broadcasts then
    perform listener.open_topics();
    execute format(
      'create trigger listener_broadcast_insert after insert on %s referencing new table as new_rows '
      'for each statement execute function listener.broadcast_arrivals()', set_broadcasts.relation
    );
    execute format(
      'create trigger listener_broadcast_update after update on %s referencing old table as old_rows new table as new_rows '
      'for each statement execute function listener.broadcast_changes()', set_broadcasts.relation
    );
  end if;
end
$$;

revoke all on function listener.set_broadcasts(regclass, boolean) from public, anon, authenticated, service_role;

-- listener.set_kind(kind, max_attempts, time_limit_s, bucket)
-- Makes a kind, or gives it the policy that is not null; kind_misfits has seen that no other table minds.
-- Units: time_limit_s is seconds.
create function listener.set_kind(p_kind text, p_max_attempts integer, p_time_limit_s integer, p_bucket text)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  insert into listener.kinds as known (kind, max_attempts, time_limit_s, bucket)
  values (p_kind, coalesce(p_max_attempts, 3), coalesce(p_time_limit_s, 300), coalesce(p_bucket, 'generated'))
  on conflict (kind) do update set
    max_attempts = coalesce(p_max_attempts, known.max_attempts),
    time_limit_s = coalesce(p_time_limit_s, known.time_limit_s),
    bucket = coalesce(p_bucket, known.bucket)
  where
    (known.max_attempts, known.time_limit_s, known.bucket) is distinct from (
      coalesce(p_max_attempts, known.max_attempts), coalesce(p_time_limit_s, known.time_limit_s),
      coalesce(p_bucket, known.bucket)
    );
end
$$;

revoke all on function listener.set_kind(text, integer, integer, text) from public, anon, authenticated, service_role;

-- public.set_partner_webhook(store, url, secrets, active) -> jsonb
-- Tells a store's address of every session that finishes from now on; called again it changes the entry, and secrets left out
-- stay. Answers {"store", "url", "active", "secret"}: the secret when one had to be made, else null.
-- Locks:  against sessions of the store that finish now: see record_delivery.
-- Raises: 23503 for a store that is not there; 23514 for a URL or secrets that are out of bounds.
create function public.set_partner_webhook(
  p_store uuid, p_url text, p_secrets text[] default null, p_active boolean default true
)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_secrets text[];
  v_secret text;
  v_now timestamptz;
begin
  perform pg_advisory_xact_lock(hashtext('listener.partner_webhooks'), hashtext(p_store::text));
  v_now := listener.clock();
  select hook.secrets into v_secrets from listener.partner_webhooks as hook where hook.store = p_store;
  if p_secrets is null and v_secrets is null then
    v_secret := listener.new_secret();
  end if;
  insert into listener.partner_webhooks as hook (store, url, secrets, active, active_at, changed_at)
  values (p_store, p_url, coalesce(p_secrets, v_secrets, array[v_secret]), p_active, v_now, v_now)
  on conflict (store) do update set
    url = excluded.url, secrets = excluded.secrets, active = excluded.active, changed_at = excluded.changed_at,
    active_at = case when hook.active then hook.active_at else excluded.active_at end;
  return jsonb_build_object('store', p_store, 'url', p_url, 'active', p_active, 'secret', v_secret);
end
$$;

revoke all on function public.set_partner_webhook(uuid, text, text[], boolean) from public, anon, authenticated;
grant execute on function public.set_partner_webhook(uuid, text, text[], boolean) to service_role;

-- public.set_plan(owner, plan) -> jsonb
-- Puts an account on a plan: what the app calls when somebody subscribes or leaves. Sessions that wait keep their place. Answers
-- {"plan", "outcome"}.
-- Locks:  the account.
-- Raises: 22023 for a plan that does not exist.
create function public.set_plan(p_owner uuid, p_plan text)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_is_new boolean;
begin
  if not exists (select from listener.plans as plan where plan.plan = p_plan) then
    raise exception 'there is no such plan' using errcode = '22023';
  end if;
  perform listener.open_accounts(array[p_owner]);
  update listener.accounts as account
  set plan = p_plan
  where account.owner = p_owner and account.plan <> p_plan
  returning true into v_is_new;
  return jsonb_build_object('plan', p_plan, 'outcome', case when v_is_new then 'applied' else 'already' end);
end
$$;

revoke all on function public.set_plan(uuid, text) from public, anon, authenticated;
grant execute on function public.set_plan(uuid, text) to service_role;

-- public.set_retention(bucket, hours)
-- Says how long the results in a bucket are kept after their sessions ended; null: as long as their kind says. It holds for what lies
-- there already, from the next cleaning on.
create function public.set_retention(p_bucket text, p_hours double precision)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  if p_hours is null then
    delete from listener.retentions as kept where kept.bucket = p_bucket;
    return;
  end if;
  insert into listener.retentions as kept (bucket, keep_hours)
  values (p_bucket, p_hours)
  on conflict (bucket) do update set keep_hours = excluded.keep_hours
  where kept.keep_hours <> excluded.keep_hours;
end
$$;

revoke all on function public.set_retention(text, double precision) from public, anon, authenticated;
grant execute on function public.set_retention(text, double precision) to service_role;

-- listener.set_webhook(url, secret, kinds, timeout_ms) -> text
-- Sends a wake-up to this URL whenever sessions arrive (of these kinds, or of all), from the next transaction on. Called again for
-- the URL it changes the entry. Answers the secret, which the worker needs as LISTENER_WEBHOOK_SECRETS; made here when none is given.
-- Its arguments bear no p_: people type their names.
-- Raises: 55000 when pg_net is not installed; 22023 when the secret is not whsec_ and the base64 of 24 to 64 bytes; 23514 for the URL.
create function listener.set_webhook(
  url text, secret text default null, kinds text[] default null, timeout_ms integer default 2000
)
returns text
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_key bytea;
begin
  if to_regprocedure('net.http_post(text,jsonb,jsonb,jsonb,integer)') is null then
    raise exception using
      errcode = '55000', message = 'pg_net is not installed',
      hint = 'create extension pg_net; or switch it on under Database, Extensions.';
  end if;
  if set_webhook.secret is null then
    set_webhook.secret := listener.new_secret();
  end if;
  begin
    v_key := decode(substr(set_webhook.secret, 7), 'base64');
  exception when data_exception then
    v_key := null;
  end;
  if left(set_webhook.secret, 6) <> 'whsec_' or octet_length(v_key) not between 24 and 64 or v_key is null then
    raise exception using
      errcode = '22023', message = 'a webhook secret is whsec_ and the base64 of 24 to 64 random bytes',
      hint = 'Leave it out to have one made.';
  end if;
  insert into listener.webhooks as hook (url, kinds, inner_key, outer_key, timeout_ms)
  values (
    set_webhook.url, set_webhook.kinds, listener.hmac_key(v_key, 54), listener.hmac_key(v_key, 92), set_webhook.timeout_ms
  )
  on conflict on constraint webhooks_pkey do update
    set kinds = excluded.kinds, inner_key = excluded.inner_key, outer_key = excluded.outer_key, timeout_ms = excluded.timeout_ms;
  return set_webhook.secret;
end
$$;

revoke all on function listener.set_webhook(text, text, text[], integer) from public, anon, authenticated, service_role;

-- public.settle_deliveries(items) -> (delivery, attempt, outcome, status, next_at)
-- What came of deliveries; items are [{"delivery", "attempt", "outcome", "status", "error", "retry_after_s"}], outcome being
-- delivered; retry: tried again later, ten times in all; refused: never again; gone: nor anything else to that address;
-- released: not sent, due at once. Answers applied | already | refused: an attempt that is not the delivery's last says nothing.
-- Units: status is the HTTP status of the partner's answer; retry_after_s is seconds, what the partner asked, up to a day.
-- Locks:  deliveries ascending, then the webhooks of those that are gone.
-- Raises: 22023 for an outcome that does not exist.
create function public.settle_deliveries(p_items jsonb)
returns table (delivery uuid, attempt integer, outcome text, status text, next_at timestamptz)
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_now timestamptz;
  v_settled uuid[];
begin
  if exists (
    select from jsonb_to_recordset(p_items) as item (outcome text)
    where item.outcome is null or item.outcome not in ('delivered', 'retry', 'refused', 'gone', 'released')
  ) then
    raise exception 'there is no such outcome of a delivery' using errcode = '22023';
  end if;
  perform from listener.deliveries as one
  where one.id in (select item.delivery from jsonb_to_recordset(p_items) as item (delivery uuid))
  order by one.id
  for no key update;
  v_now := listener.clock();
  v_settled := listener.end_deliveries(p_items, v_now);
  update listener.partner_webhooks as hook
  set active = false, changed_at = v_now
  from listener.deliveries as one
  inner join jsonb_to_recordset(p_items) as item (delivery uuid, outcome text) on one.id = item.delivery
  where one.id = any(v_settled) and item.outcome = 'gone' and hook.store = one.store and hook.changed_at <= one.claimed_at;
  return query
  select
    item.delivery, item.attempt,
    case when item.delivery = any(v_settled) then 'applied' when one.attempt = item.attempt then 'already' else 'refused' end,
    one.status, one.next_at
  from jsonb_to_recordset(p_items) as item (delivery uuid, attempt integer)
  left join listener.deliveries as one on item.delivery = one.id;
end
$$;

revoke all on function public.settle_deliveries(jsonb) from public, anon, authenticated;
grant execute on function public.settle_deliveries(jsonb) to service_role;

-- listener.show_characters(jobs)
-- Gives the characters of completed jobs the URLs of their images; and the reference image, where they have none yet, or where a
-- job could not read the one that they had and drew it anew.
-- Locks:  characters, ascending id.
create function listener.show_characters(p_jobs uuid[])
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  if cardinality(p_jobs) = 0 then
    return;
  end if;
  perform from public.characters as character
  where character.id in (select job.character_id from public.generation_jobs as job where job.id = any(p_jobs))
  order by character.id
  for no key update;

  update public.characters as character
  set
    image_urls = latest.urls,
    reference_path = case
      when character.reference_path is null or character.reference_path = latest.known_path
        then coalesce(latest.reference_path, character.reference_path)
      else character.reference_path
    end,
    updated_at = listener.clock()
  from (
    select distinct on (job.character_id)
      job.character_id,
      job.character ->> 'reference_path' as known_path,
      array(
        select picture.url from listener.pictures_of(job.result) as picture
        where picture.url is not null
        order by picture.place, picture.path
      ) as urls,
      (
        select picture.path from listener.pictures_of(job.result) as picture
        where picture.similarity_state = 'reference'
        order by picture.place, picture.path
        limit 1
      ) as reference_path
    from public.generation_jobs as job
    where job.id = any(p_jobs)
    order by job.character_id, job.created_at desc, job.id
  ) as latest
  where character.id = latest.character_id;
end
$$;

revoke all on function listener.show_characters(uuid[]) from public, anon, authenticated;
grant execute on function listener.show_characters(uuid[]) to service_role;

-- listener.show_images() trigger, after update on public.generation_jobs, for each statement, transition tables old_rows, new_rows
-- Makes character_images what the jobs' rows show: each image as soon as it is saved, none of an attempt that did not settle, none
-- once all credits went back. A job that completes gives its character the URLs, and a reference (show_characters).
-- Rows without a character are those of a dry run.
-- Locks:  characters ascending; the jobs' rows are locked by the update.
create function listener.show_images()
returns trigger
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_changed uuid[] := array(
    select job.id
    from new_rows as job
    inner join old_rows as earlier on job.id = earlier.id
    where job.character_id is not null and job.result is distinct from earlier.result
  );
  v_done uuid[] := array(
    select job.id
    from new_rows as job
    inner join old_rows as earlier on job.id = earlier.id
    where job.character_id is not null and job.status = 'completed' and earlier.status <> 'completed'
  );
begin
  if cardinality(v_changed) > 0 then
    delete from public.character_images as image
    using new_rows as job
    where
      image.job_id = job.id and job.id = any(v_changed)
      and image.storage_path not in (select picture.path from listener.pictures_of(job.result) as picture);

    insert into public.character_images as image (
      character_id, job_id, user_id, position, pose, storage_path, thumbnail_path, width, height, similarity, similarity_state,
      seed, created_at
    )
    select
      job.character_id, job.id, job.user_id, picture.place, picture.pose, picture.path, picture.thumbnail_path, picture.width,
      picture.height, picture.similarity, picture.similarity_state, picture.seed, listener.clock()
    from new_rows as job
    cross join lateral listener.pictures_of(job.result) as picture
    where job.id = any(v_changed)
    on conflict (job_id, storage_path) do update set
      position = excluded.position, pose = excluded.pose, thumbnail_path = excluded.thumbnail_path, width = excluded.width,
      height = excluded.height, similarity = excluded.similarity, similarity_state = excluded.similarity_state,
      seed = excluded.seed
    where
      (image.position, image.pose, image.thumbnail_path, image.width, image.height, image.similarity, image.similarity_state, image.seed)
      is distinct from (
        excluded.position, excluded.pose, excluded.thumbnail_path, excluded.width, excluded.height, excluded.similarity,
        excluded.similarity_state, excluded.seed
      );
  end if;
  perform listener.show_characters(v_done);
  return null;
end
$$;

revoke all on function listener.show_images() from public, anon, authenticated;

-- listener.show_states(table, states) -> uuid[]
-- Writes states onto the rows of one visible table and returns the ids of the rows it reached: none when the table is broken,
-- or turns out to be. An error of the moment is raised as it is.
-- Locks:  visible rows, which the caller has locked before.
create function listener.show_states(p_table_id integer, p_states listener.visible_state[])
returns uuid[]
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  if (select registry.broken_at is not null from listener.session_tables as registry where registry.id = p_table_id) then
    return '{}'::uuid[];
  end if;
  return listener.write_visible(p_table_id, p_states);
exception when others then
  if listener.is_transient(sqlstate) then
    raise;
  end if;
  perform listener.mark_broken(p_table_id, sqlstate || ' ' || sqlerrm);
  return '{}'::uuid[];
end
$$;

revoke all on function listener.show_states(integer, listener.visible_state[]) from public, anon, authenticated;
grant execute on function listener.show_states(integer, listener.visible_state[]) to service_role;

-- listener.show_taken(due, now) -> uuid[]
-- Shows sessions as processing on those of their visible rows that are there and free, and returns those sessions.
-- An error that lies in a table marks it broken. Who has shown them all knows that there is no further table, and does not ask.
-- Locks:  visible rows by table, skip locked; never waits.
create function listener.show_taken(p_due listener.due_session[], p_now timestamptz)
returns uuid[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_table_id integer := p_due[1].table_id;
  v_tables integer[] := '{}'::integer[];
  v_shown uuid[] := '{}'::uuid[];
begin
  loop
    begin
      v_shown := v_shown || listener.take_visible(v_table_id, p_due, p_now);
    exception when others then
      if listener.is_transient(sqlstate) then
        raise;
      end if;
      perform listener.mark_broken(v_table_id, sqlstate || ' ' || sqlerrm);
    end;
    exit when cardinality(v_shown) = cardinality(p_due);
    v_tables := v_tables || v_table_id;
    v_table_id := (select min(due.table_id) from unnest(p_due) as due where due.table_id <> all(v_tables));
    exit when v_table_id is null;
  end loop;
  return v_shown;
end
$$;

revoke all on function listener.show_taken(listener.due_session[], timestamptz) from public, anon, authenticated;
grant execute on function listener.show_taken(listener.due_session[], timestamptz) to service_role;

-- listener.stale_sessions(table) -> uuid[]
-- The sessions of a table whose visible rows do not show their state, and those that run, whose progress may have moved.
create function listener.stale_sessions(p_table listener.session_tables)
returns uuid[]
language plpgsql stable security invoker
set search_path = ''
as $$
declare
  v_stale uuid[];
begin
  execute format(
    'select array(select session.id from listener.sessions as session '
    'inner join %1$s as visible on visible.%2$I = session.row_id where session.table_id = $1 and ('
    'session.status = ''processing'' or visible.%3$I is distinct from '
    'case session.status when ''delayed'' then ''queued'' else session.status end))',
    p_table.relation, p_table.id_column, p_table.columns ->> 'status'
  ) into v_stale using p_table.id;
  return v_stale;
end
$$;

revoke all on function listener.stale_sessions(listener.session_tables) from public, anon, authenticated, service_role;

-- listener.start_virtual_time() trigger, after insert, for each row
-- A new kind's virtual time stands at nought.
create function listener.start_virtual_time()
returns trigger
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  insert into listener.virtual_times (kind) values (new.kind);
  return null;
end
$$;

revoke all on function listener.start_virtual_time() from public, anon, authenticated, service_role;

-- listener.stop_overdue(limit) -> uuid[]
-- Fails and refunds sessions that are past twice their time limit and its grace although their worker lives: waiting in the
-- worker's line for a device does not count, for as long again as the limit at most.
-- Locks:  visible rows, then sessions, skip locked; then accounts.
create function listener.stop_overdue(p_limit integer)
returns uuid[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_sessions uuid[];
  v_now timestamptz := listener.clock();
begin
  v_sessions := listener.hold_sessions(array(
    select session.id
    from listener.sessions as session
    inner join listener.kinds as kind on session.kind = kind.kind
    where
      session.status = 'processing'
      and session.started_at + make_interval(secs => 2 * session.time_limit_s + kind.grace_s) <= v_now
    order by session.started_at
    limit p_limit
  ));
  v_sessions := array(
    select session.id from listener.sessions as session
    where session.id = any(v_sessions) and session.started_at + make_interval(secs => 2 * session.time_limit_s) <= v_now
  );
  perform listener.fail_here(v_sessions, 'time_limit', 'The generation took too long and was stopped.');
  return v_sessions;
end
$$;

revoke all on function listener.stop_overdue(integer) from public, anon, authenticated;
grant execute on function listener.stop_overdue(integer) to service_role;

-- listener.strip_table(table)
-- Takes the triggers from a table that watch or set_broadcasts gave it, and the place in the publication if watch gave it that.
-- Locks:  the table, which the caller holds.
create function listener.strip_table(p_table listener.session_tables)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_trigger text;
begin
  foreach v_trigger in array array[
    'zz_listener_reset', 'listener_register', 'listener_withdraw', 'listener_refuse_truncate', 'listener_broadcast_insert',
    'listener_broadcast_update'
  ]
  loop
    execute format('drop trigger if exists %I on %s', v_trigger, p_table.relation);
  end loop;
  if p_table.is_published_here and exists (
    select from pg_catalog.pg_publication_rel as published
    inner join pg_catalog.pg_publication as publication on published.prpubid = publication.oid
    where publication.pubname = 'supabase_realtime' and published.prrelid = p_table.relation
  ) then
    execute format('alter publication supabase_realtime drop table %s', p_table.relation);
  end if;
end
$$;

revoke all on function listener.strip_table(listener.session_tables) from public, anon, authenticated, service_role;

-- listener.survey_channels() -> jsonb
-- Whether Realtime can tell of sessions. Answers {"publication", "canary", "shut_out", "tables"}: shut_out are roles that may
-- read a published table without USAGE on its schema, which silences Realtime for the whole project.
create function listener.survey_channels()
returns jsonb
language sql stable security invoker
set search_path = ''
as $$
  with published as (
    -- By oid: a name may lie in a schema that the caller may not use, and that is what is looked for.
    select class.oid::regclass as relation, one.schemaname
    from pg_catalog.pg_publication_tables as one
    inner join pg_catalog.pg_namespace as namespace on one.schemaname = namespace.nspname
    inner join pg_catalog.pg_class as class on namespace.oid = class.relnamespace and one.tablename = class.relname
    where one.pubname = 'supabase_realtime'
  )

  select jsonb_build_object(
    'publication', exists (select from pg_catalog.pg_publication where pubname = 'supabase_realtime'),
    'canary', exists (select from published where published.relation = 'listener.workers'::regclass),
    'shut_out', (
      select coalesce(jsonb_agg(jsonb_build_object('role', role.rolname, 'table', published.relation::text)), '[]')
      from published
      inner join pg_catalog.pg_roles as role on not role.rolsuper
      where
        not has_schema_privilege(role.oid, published.schemaname, 'usage')
        and has_any_column_privilege(role.oid, published.relation, 'select')
    ),
    'tables', (
      select
        coalesce(
          jsonb_agg(
            jsonb_build_object(
              'table', watched.relation::text, 'kind', watched.kind, 'broken', listener.fault_of_table(watched),
              'is_published', exists (select from published where published.relation = watched.relation)
            )
            order by watched.id
          ),
          '[]'
        )
      from listener.session_tables as watched
    )
  )
$$;

revoke all on function listener.survey_channels() from public, anon, authenticated;
grant execute on function listener.survey_channels() to service_role;

-- listener.survey_doors() -> jsonb
-- Who may call the workers' functions. Answers {"not_granted", "open_to_strangers"}: those that service_role may not execute
-- or that are not there, and those that signed-in users or anon may.
create function listener.survey_doors()
returns jsonb
language sql stable security invoker
set search_path = ''
as $$
  with doors as (
    select wanted.name, routine.oid
    from unnest(
      array[
        'register_worker', 'heartbeat', 'claim_sessions', 'report_progress', 'add_artifacts', 'complete_sessions',
        'fail_sessions', 'cancel_sessions', 'retry_sessions', 'release_sessions', 'sweep_sessions', 'acquire_permits',
        'requested_cancels',
        'authenticate_api_key', 'claim_deliveries', 'settle_deliveries', 'owned_tables', 'owner_credits', 'cancel_owner_session',
        'expired_artifacts', 'orphaned_objects', 'orphaned_elsewhere', 'forget_artifacts'
      ]
    ) as wanted (name)
    left join pg_catalog.pg_proc as routine
      on wanted.name = routine.proname and routine.pronamespace = 'public'::regnamespace
  )

  select jsonb_build_object(
    'not_granted', (
      select coalesce(jsonb_agg(distinct doors.name), '[]')
      from doors
      where doors.oid is null or not has_function_privilege('service_role', doors.oid, 'execute')
    ),
    'open_to_strangers', (
      select coalesce(jsonb_agg(distinct doors.name), '[]')
      from doors
      cross join unnest(array['anon', 'authenticated']) as stranger (name)
      where has_function_privilege(stranger.name, doors.oid, 'execute')
    )
  )
$$;

revoke all on function listener.survey_doors() from public, anon, authenticated;
grant execute on function listener.survey_doors() to service_role;

-- public.survey_project() -> jsonb
-- What `listener check` asks of the database; changes nothing. Answers {"role", "now", "schema_version", "oldest_worker",
-- "buckets"} and what survey_doors and survey_channels answer; buckets are those that kinds and tables store in.
create function public.survey_project()
returns jsonb
language sql stable security invoker
set search_path = ''
as $$
  select
    jsonb_build_object(
      'role', current_user,
      'now', clock_timestamp(),
      'schema_version', listener.schema_version(),
      'oldest_worker', listener.oldest_worker(),
      'buckets', (
        select coalesce(jsonb_agg(place.bucket order by place.bucket), '[]')
        from (
          select kind.bucket from listener.kinds as kind
          union
          select registry.bucket from listener.session_tables as registry where registry.bucket is not null
        ) as place
      )
    )
    || listener.survey_doors()
    || listener.survey_channels()
$$;

revoke all on function public.survey_project() from public, anon, authenticated;
grant execute on function public.survey_project() to service_role;

-- public.sweep_sessions(limit) -> jsonb
-- The periodic safety net; any number may run at once. Rescues the sessions of workers whose lease ran out, fails what is past
-- its time limit, promotes due retries, calls again for refunds that apps owe, removes what is kept no longer. Answers {"rescued",
-- "failed", "promoted", "expired_workers", "app_refunds", "pruned"}.
-- Locks:  workers, visible rows, sessions, skip locked; then accounts ascending.
create function public.sweep_sessions(p_limit integer default 100)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_limit integer := least(greatest(coalesce(p_limit, 100), 1), 1000);
  v_expired uuid[] := array(select expired from listener.expire_workers(v_limit) as expired);
  v_rescued uuid[] := listener.rescue_sessions(v_expired, v_limit);
  v_overdue uuid[] := listener.stop_overdue(v_limit);
  v_failed integer;
begin
  select count(*) into v_failed
  from listener.sessions as session
  where session.id = any(v_rescued || v_overdue) and session.status = 'failed';
  return jsonb_build_object(
    'rescued', cardinality(v_rescued) + cardinality(v_overdue) - v_failed,
    'failed', v_failed,
    'promoted', listener.promote_delayed(v_limit),
    'expired_workers', cardinality(v_expired),
    'app_refunds', listener.pay_owed_refunds(v_limit),
    'pruned', listener.prune_finished(v_limit)
  );
end
$$;

revoke all on function public.sweep_sessions(integer) from public, anon, authenticated;
grant execute on function public.sweep_sessions(integer) to service_role;

-- listener.switch_triggers(relation, triggers, is_on)
-- Switches triggers of a table off and on again. For the dry run alone, which rolls it back.
-- Locks:  the table, which the caller holds.
create function listener.switch_triggers(p_relation regclass, p_triggers text[], p_is_on boolean)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_trigger text;
begin
  foreach v_trigger in array p_triggers loop
    execute format(
      'alter table %s %s trigger %I', p_relation, case when p_is_on then 'enable' else 'disable' end, v_trigger
    );
  end loop;
end
$$;

revoke all on function listener.switch_triggers(regclass, text[], boolean) from public, anon, authenticated, service_role;

-- listener.take_branch(table, relation, id_column, columns) -> text
-- One watched table's branch of listener.take_visible: what a claim shows is the same for every session.
create function listener.take_branch(p_table_id integer, p_relation regclass, p_id_column text, p_columns jsonb)
returns text
language sql stable security invoker
set search_path = ''
as $$
  select format(
    $branch$
    when %1$s then
      with free as (
        select visible.%3$I as id, due.session
        from unnest(p_due) as due
        inner join %2$s as visible on due.row_id = visible.%3$I
        where due.table_id = %1$s
        for no key update of visible skip locked
      ),
      shown as (
        update %2$s as visible
        set %4$s, %5$I = visible.%5$I + 1
        from free
        where visible.%3$I = free.id
        returning free.session
      )
      select array_agg(shown.session) into v_shown from shown;
    $branch$,
    p_table_id, p_relation, p_id_column,
    (
      select string_agg(
        format(
          '%I = %s', pair.value,
          case pair.key
            when 'status' then '''processing'''
            when 'progress' then '0'
            when 'started_at' then 'p_now'
            when 'updated_at' then 'p_now'
            else 'null'
          end
        ),
        ', ' order by pair.key
      )
      from jsonb_each_text(p_columns) as pair
      where pair.key <> 'version'
    ),
    p_columns ->> 'version'
  )
$$;

revoke all on function listener.take_branch(integer, regclass, text, jsonb) from public, anon, authenticated, service_role;

-- listener.take_character() trigger, before insert on public.generation_jobs, for each row
-- Gives the job what its character is now: params.character of its session, which no later edit changes. Whatever the inserter
-- wrote there is dropped.
-- Raises: PT404 character_unknown (HTTP 404), also for another user's character.
create function listener.take_character()
returns trigger
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  select jsonb_build_object(
    'id', owned.id, 'name', owned.name, 'config', owned.config, 'style', owned.style,
    'face_reference_path', owned.face_reference_path, 'reference_path', owned.reference_path
  )
  into new.character
  from public.characters as owned
  where owned.id = new.character_id and owned.user_id = new.user_id;
  if not found then
    raise sqlstate 'PT404' using message = 'character_unknown', detail = 'The user has no such character.';
  end if;
  new.completed_count := 0;
  return new;
end
$$;

revoke all on function listener.take_character() from public, anon, authenticated;

-- public.take_cleaning(holder, hold_s, at_once) -> jsonb
-- Gives the turn to clean to one holder at a time, and again to who holds it. Answers {"bucket", "path"}: the object that the walk
-- has come to; null: another one's turn, or nothing is due yet, which at_once does not wait for.
-- Units: p_hold_s is seconds, after which a holder that is silent has lost it.
-- Locks:  the row of the turn.
create function public.take_cleaning(p_holder uuid, p_hold_s integer default 300, p_at_once boolean default false)
returns jsonb
language sql volatile security invoker
set search_path = ''
as $$
  with stamp as (
    select
      listener.clock() as clock,
      listener.clock() + make_interval(secs => least(greatest(coalesce(p_hold_s, 300), 1), 3600)) as until
  ),
  taken as (
    insert into listener.cleaning as turn (holder, until)
    select p_holder, stamp.until from stamp
    on conflict (id) do update set holder = excluded.holder, until = excluded.until
    where
      turn.until <= (select stamp.clock from stamp) or turn.holder = p_holder
      or (turn.holder is null and coalesce(p_at_once, false))
    returning turn.bucket, turn.path
  )

  select jsonb_build_object('bucket', taken.bucket, 'path', taken.path) from taken
$$;

revoke all on function public.take_cleaning(uuid, integer, boolean) from public, anon, authenticated;
grant execute on function public.take_cleaning(uuid, integer, boolean) to service_role;

-- listener.take_due(kinds, limit, is_limited, now) -> due_session[]
-- Locks the next due sessions and shows them as processing: those that the claim may start.
-- A session whose visible row somebody holds is left for the next claim: waiting here could deadlock. One whose row is gone
-- fails, and one whose table is broken stays queued.
-- Locks:  sessions and visible rows, both skip locked.
create function listener.take_due(p_kinds text[], p_limit integer, p_is_limited boolean, p_now timestamptz)
returns listener.due_session[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_due listener.due_session[];
  v_shown uuid[];
begin
  if p_is_limited then
    v_due := listener.read_due(listener.due_within_limits(p_kinds, p_limit));
  elsif cardinality(p_kinds) = 1 then
    v_due := listener.due_of_kind(p_kinds[1], p_limit);
  else
    v_due := listener.due_sessions(p_kinds, p_limit);
  end if;
  if cardinality(v_due) = 0 then
    return v_due;
  end if;
  v_shown := listener.show_taken(v_due, p_now);
  if cardinality(v_shown) < cardinality(v_due) then
    perform listener.hold_rows(array(select due.session from unnest(v_due) as due where due.session <> all(v_shown)), true);
    v_due := array(select due from unnest(v_due) as due where due.session = any(v_shown));
  end if;
  return v_due;
end
$$;

revoke all on function listener.take_due(text[], integer, boolean, timestamptz) from public, anon, authenticated;
grant execute on function listener.take_due(text[], integer, boolean, timestamptz) to service_role;

-- listener.take_turns(kind, owners, units) -> (ordinal, start_tag, fair_tag)
-- Gives each arriving session its place in the kind's virtual time: one entry of p_owners and of p_units per session, in order of
-- arrival. What a session asks for counts: one of ten units takes as much of its owner's share as ten of one unit.
-- Locks:  the owners' accounts are locked by the caller; turns are written only under that lock.
-- Source: start-time fair queueing (Goyal, Vin, Cheng 1996).
create function listener.take_turns(p_kind text, p_owners uuid[], p_units integer[])
returns table (ordinal bigint, start_tag double precision, fair_tag double precision)
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  return query
  with arrival as (
    select
      given.owner, given.ordinal, given.units,
      sum(given.units) over (partition by given.owner order by given.ordinal) - given.units as before
    from unnest(p_owners, p_units) with ordinality as given (owner, units, ordinal)
  ),
  burst as (
    select arrival.owner, sum(arrival.units) as units from arrival group by arrival.owner
  ),
  place as (
    select
      account.owner,
      greatest(stood.virtual_time, turn.last_tag) as first_tag,
      kind.work / plan.weight as step,
      plan.head_start,
      burst.units
    from burst
    inner join listener.accounts as account on burst.owner = account.owner
    inner join listener.plans as plan on account.plan = plan.plan
    inner join listener.kinds as kind on kind.kind = p_kind
    inner join listener.virtual_times as stood on stood.kind = p_kind
    left join listener.turns as turn on account.owner = turn.owner and turn.kind = p_kind
  ),
  advanced as (
    insert into listener.turns (owner, kind, last_tag)
    select place.owner, p_kind, place.first_tag + place.units * place.step from place
    on conflict (owner, kind) do update set last_tag = excluded.last_tag
  )
  select
    arrival.ordinal,
    place.first_tag + arrival.before * place.step,
    place.first_tag + arrival.before * place.step - place.head_start
  from arrival
  inner join place on arrival.owner = place.owner;
end
$$;

revoke all on function listener.take_turns(text, uuid[], integer[]) from public, anon, authenticated;
grant execute on function listener.take_turns(text, uuid[], integer[]) to service_role;

-- listener.tell_states(relation, new_rows, old_rows)
-- Sends each new state of a session table's rows on the private topic owner:<id>: of rows that arrived as queued where old_rows is
-- null, else of rows whose version is another. A message {"schema", "table", "row", "is_partial"} holds the row's key and state
-- columns under the table's own names, never an input. Realtime drops messages above 256 kB: a large one leaves out result and
-- error_details and says is_partial, and the watcher reads the row.
-- Never fails: what was not sent is a warning, and the watcher reads the row by and by. realtime.send itself may be gone.
create function listener.tell_states(p_relation oid, p_new_rows jsonb[], p_old_rows jsonb[])
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_table record;
begin
  select known.id_column, known.owner_column, known.columns, class.relname, namespace.nspname into v_table
  from listener.session_tables as known
  inner join pg_catalog.pg_class as class on known.relation = class.oid
  inner join pg_catalog.pg_namespace as namespace on class.relnamespace = namespace.oid
  where known.relation = p_relation;
  perform realtime.send(
    jsonb_build_object(
      'schema', v_table.nspname, 'table', v_table.relname, 'is_partial', state.is_large,
      'row', case when state.is_large then state.small_part else state.whole end
    ),
    'session', 'owner:' || (shown.fields ->> v_table.owner_column), true
  )
  from unnest(p_new_rows) as shown (fields)
  left join unnest(p_old_rows) as former (fields)
    on shown.fields -> v_table.id_column = former.fields -> v_table.id_column
  cross join lateral (
    select
      jsonb_object_agg(field.key, field.value) as whole,
      jsonb_object_agg(field.key, field.value)
      filter (where coalesce(pair.key, 'id') not in ('result', 'error_details')) as small_part,
      octet_length(jsonb_object_agg(field.key, field.value)::text) > 200000 as is_large
    from jsonb_each(shown.fields) as field
    left join jsonb_each_text(v_table.columns) as pair on field.key = pair.value
    where pair.key is not null or field.key = v_table.id_column
  ) as state
  where
    case
      when p_old_rows is null then shown.fields ->> (v_table.columns ->> 'status') = 'queued'
      else shown.fields -> (v_table.columns ->> 'version') is distinct from former.fields -> (v_table.columns ->> 'version')
    end;
exception when others then
  raise warning 'listener: no state of % was broadcast: % (%)', p_relation::regclass, sqlerrm, sqlstate;
end
$$;

revoke all on function listener.tell_states(oid, jsonb[], jsonb[]) from public, anon, authenticated, service_role;

-- listener.unnamed_among(buckets, paths) -> (bucket, path, size_bytes, reason)
-- Those of these objects of Supabase Storage that no row names: see listed_orphans.
create function listener.unnamed_among(p_buckets text[], p_paths text[])
returns table (bucket text, path text, size_bytes bigint, reason text)
language sql stable security invoker
set search_path = ''
as $$
  select unnamed.bucket, unnamed.path, unnamed.size_bytes, unnamed.reason
  from (
    select
      array_agg(object.bucket_id) as buckets, array_agg(object.name) as paths,
      array_agg(case when object.metadata ->> 'size' ~ '^[0-9]{1,15}$' then (object.metadata ->> 'size')::bigint end) as sizes,
      array_agg(greatest(object.created_at, object.updated_at)) as changes
    from unnest(p_buckets, p_paths) as given (bucket, path)
    inner join storage.objects as object on given.bucket = object.bucket_id and given.path = object.name
  ) as present
  cross join lateral listener.listed_orphans(present.buckets, present.paths, present.sizes, present.changes) as unnamed
$$;

revoke all on function listener.unnamed_among(text[], text[]) from public, anon, authenticated;
grant execute on function listener.unnamed_among(text[], text[]) to service_role;

-- listener.unwatch(relation, cancel_open) -> jsonb
-- Leaves a table to itself: no triggers, no place in the publication (unless it had one before), no entry in the registry. Its
-- columns, rows and grants stay, and so do the sessions and the ledger. Open sessions refuse it, or are cancelled and refunded
-- with cancel_open. A table that was dropped is named by its oid. Answers {"cancelled", "refunded"}.
-- Locks:  the table, then its open sessions ascending, then accounts.
-- Raises: 55000 not_watched, sessions_open.
create function listener.unwatch(relation regclass, cancel_open boolean default false)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_table listener.session_tables;
  v_open uuid[];
  v_refunded integer := 0;
  v_misfit listener.misfit;
  v_exists boolean := exists (select from pg_catalog.pg_class as class where class.oid = unwatch.relation);
begin
  if v_exists then
    perform listener.hold_table(unwatch.relation);
  end if;
  select known.* into v_table from listener.session_tables as known where known.relation = unwatch.relation for update;
  v_open := array(
    select session.id from listener.sessions as session
    where session.table_id = v_table.id and session.status in ('queued', 'delayed', 'processing')
    order by session.id
    for no key update
  );
  if v_table.id is null then
    v_misfit := row('not_watched', 'The table is not watched.', 'select relation from listener.session_tables;');
  elsif cardinality(v_open) > 0 and not unwatch.cancel_open then
    v_misfit := row(
      'sessions_open', format('%s sessions are waiting or running.', cardinality(v_open)),
      'Let them end, or cancel and refund them: cancel_open => true.'
    );
  end if;
  if v_misfit.name is not null then
    raise exception using
      errcode = '55000', message = format('%s cannot be unwatched: %s', unwatch.relation, v_misfit.name),
      detail = v_misfit.detail, hint = v_misfit.hint;
  end if;

  if cardinality(v_open) > 0 then
    v_refunded := listener.cancel_here(v_open);
  end if;
  if v_exists then
    perform listener.strip_table(v_table);
  end if;
  delete from listener.session_tables as known where known.id = v_table.id;
  return jsonb_build_object('cancelled', cardinality(v_open), 'refunded', v_refunded);
end
$$;

revoke all on function listener.unwatch(regclass, boolean) from public, anon, authenticated, service_role;

-- listener.update_rights(relation) -> (role, attname)
-- Which columns of a table each role was granted to update, by the table or by column; public is a role here.
create function listener.update_rights(p_relation regclass)
returns table (role text, attname name)
language sql stable security invoker
set search_path = ''
as $$
  select distinct
    case entry.grantee when 0 then 'public' else pg_get_userbyid(entry.grantee)::text end,
    field.attname
  from pg_catalog.pg_class as class
  inner join pg_catalog.pg_attribute as field
    on field.attrelid = class.oid and field.attnum > 0 and not field.attisdropped
  cross join lateral (
    select granted.grantee, granted.privilege_type from aclexplode(class.relacl) as granted
    union all
    select granted.grantee, granted.privilege_type from aclexplode(field.attacl) as granted
  ) as entry
  where class.oid = p_relation and entry.privilege_type = 'UPDATE'
$$;

revoke all on function listener.update_rights(regclass) from public, anon, authenticated, service_role;

-- listener.walk_states(table, row_id, states, role) -> text
-- Takes a session of a probe row through states, each shown by listener.project as the role; returns what went wrong, or null.
create function listener.walk_states(p_table listener.session_tables, p_row_id uuid, p_states text[], p_role name)
returns text
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_session uuid;
  v_state text;
  v_misfit text;
  v_missed uuid[];
  v_version numeric;
  v_last_version numeric;
  v_caller text := current_setting('role');
begin
  v_session := listener.probe_session(p_table, p_row_id);
  foreach v_state in array p_states loop
    perform listener.pose_probe(v_session, v_state);
    perform set_config('client_min_messages', 'error', true), set_config('role', p_role, true);
    v_missed := listener.project(array[v_session]);
    perform set_config('role', v_caller, true);
    set constraints all immediate;
    v_misfit := coalesce(
      (select known.broken_reason from listener.session_tables as known where known.id = p_table.id),
      case when cardinality(v_missed) > 0 then 'the update reaches no row: a trigger or a policy swallows it' end
    );
    execute format(
      'select coalesce($1, case when to_jsonb(visible) ->> %1$L is distinct from state.status '
      'then ''something changes it to '' || coalesce(to_jsonb(visible) ->> %1$L, ''null'') end), visible.%2$I '
      'from %3$s as visible left join listener.visible_states as state on state.session = $2 where visible.%4$I = $3',
      p_table.columns ->> 'status', p_table.columns ->> 'version', p_table.relation, p_table.id_column
    ) into v_misfit, v_version using v_misfit, v_session, p_row_id;
    if v_misfit is null and not v_version > v_last_version then
      v_misfit := 'its version does not grow';
    end if;
    if v_misfit is not null then
      return format('%s (as %s): %s', v_state, p_role, v_misfit);
    end if;
    v_last_version := v_version;
  end loop;
  return null;
exception when others then
  return format('%s (as %s): %s', v_state, p_role, sqlerrm);
end
$$;

revoke all on function listener.walk_states(listener.session_tables, uuid, text[], name)
from public, anon, authenticated, service_role;

-- listener.watch(relation, kind, owner_column, credits, max_attempts, time_limit_s, bucket, id_column, columns, backfill, ...) -> jsonb
-- Makes the rows of any table sessions: adds what is missing, then tries every state on a probe row, and refuses by name what
-- cannot work; then nothing has changed. docs/adopting-a-table.md describes each argument and each refusal.
-- Its arguments bear no p_: people type their names. Left out: max_attempts, time_limit_s, bucket (the kind keeps its own, or
-- gets 3, 300, generated), id_column (the primary key), insert_columns (authenticated may insert all but state).
-- Answers {"id", "added", "published", "backfilled"}.
-- Locks:  the table, exclusively, until the transaction ends.
-- Raises: 55000 when the table is refused; PT402 is told as backfill_unpayable.
create function listener.watch(
  relation regclass, kind text, owner_column text default 'user_id', credits integer default 1,
  max_attempts integer default null, time_limit_s integer default null, bucket text default null,
  id_column text default null, columns jsonb default '{}', backfill boolean default false,
  rls_off_is_fine boolean default false, on_refund text default null,
  grant_select boolean default true, insert_columns text[] default null
)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_table listener.session_tables;
  v_added text[];
  v_backfilled integer := 0;
begin
  v_table.relation := watch.relation;
  v_table.kind := watch.kind;
  v_table.id_column := coalesce(watch.id_column, listener.key_column(watch.relation));
  v_table.owner_column := watch.owner_column;
  v_table.columns := listener.map_columns(watch.columns);
  v_table.credits := watch.credits;
  v_table.on_refund := watch.on_refund;
  perform listener.refuse_table(watch.relation, array(select listener.relation_misfits(v_table)));
  perform listener.hold_table(watch.relation);
  perform listener.refuse_table(watch.relation, array(
    select listener.column_misfits(v_table)
    union all select listener.index_misfits(v_table)
    union all select listener.access_misfits(v_table, watch.rls_off_is_fine, watch.grant_select)
    union all select listener.refund_misfits(v_table)
    union all select listener.kind_misfits(v_table, watch.max_attempts, watch.time_limit_s, watch.bucket)
  ));

  perform listener.set_kind(v_table.kind, watch.max_attempts, watch.time_limit_s, watch.bucket);
  v_added := listener.add_state_columns(v_table);
  v_table.id := listener.enter_table(v_table);
  perform listener.add_triggers(v_table);
  perform listener.grant_access(v_table, watch.grant_select, watch.insert_columns);
  perform listener.publish_table(v_table);
  perform listener.dry_run(v_table);
  if watch.backfill then
    v_backfilled := listener.backfill_rows(v_table);
  end if;
  return jsonb_build_object(
    'id', v_table.id,
    'added', v_added,
    'published', (select known.is_published_here from listener.session_tables as known where known.id = v_table.id),
    'backfilled', v_backfilled
  );
end
$$;

revoke all on function listener.watch(
  regclass, text, text, integer, integer, integer, text, text, jsonb, boolean, boolean, text, boolean, text[]
) from public, anon, authenticated, service_role;

-- listener.webhook_signature(webhook, message) -> text
-- The header webhook-signature of a message: `v1,` and the base64 of its HMAC-SHA256, without pgcrypto.
create function listener.webhook_signature(p_webhook listener.webhooks, p_message text)
returns text
language sql immutable security invoker
set search_path = ''
as $$
  select 'v1,' || encode(
    sha256(p_webhook.outer_key || sha256(p_webhook.inner_key || convert_to(p_message, 'UTF8'))), 'base64'
  )
$$;

revoke all on function listener.webhook_signature(listener.webhooks, text) from public, anon, authenticated, service_role;

-- listener.welcome_accounts(owners)
-- Gives the welcome grant of their plan to accounts that have not had it. Beyond the plan's welcomes_per_hour an account gets none
-- now; its next paid insert asks again. So somebody who opens accounts by the hundred cannot draw credits without end.
-- Locks:  plans with such a limit, lock before count; the caller has locked the accounts.
create function listener.welcome_accounts(p_owners uuid[])
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := listener.clock();
  v_guests uuid[];
begin
  v_guests := array(
    select account.owner
    from listener.accounts as account
    inner join listener.plans as plan on account.plan = plan.plan
    where account.owner = any(p_owners) and account.welcomed_at is null and plan.welcome_credits > 0
  );
  if cardinality(v_guests) = 0 then
    return;
  end if;
  perform listener.lock_plans(v_guests);

  with guest as (
    select
      account.owner, plan.welcome_credits, listener.welcomes_left(plan.plan) as places,
      row_number() over (partition by plan.plan order by account.owner) as nth
    from listener.accounts as account
    inner join listener.plans as plan on account.plan = plan.plan
    where account.owner = any(v_guests)
  ),
  welcomed as (
    update listener.accounts as account
    set balance = account.balance + guest.welcome_credits, welcomed_at = v_now
    from guest
    where account.owner = guest.owner and guest.nth <= guest.places
    returning account.owner, guest.welcome_credits
  )
  insert into listener.ledger (key, entry, owner, amount, reason, created_at)
  select 'welcome:' || welcomed.owner::text, 'grant', welcomed.owner, welcomed.welcome_credits, 'welcome', v_now
  from welcomed;
end
$$;

revoke all on function listener.welcome_accounts(uuid[]) from public, anon, authenticated;
grant execute on function listener.welcome_accounts(uuid[]) to service_role;

-- listener.welcomes_left(plan) -> integer
-- How many more welcome grants the plan gives now; without a limit, as many as there are integers.
create function listener.welcomes_left(p_plan text)
returns integer
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_limit integer := (select plan.welcomes_per_hour from listener.plans as plan where plan.plan = p_plan);
begin
  if v_limit is null then
    return 2147483647;
  end if;
  return v_limit - (
    select count(*)
    from listener.accounts as account
    where account.plan = p_plan and account.welcomed_at > listener.clock() - interval '1 hour'
  );
end
$$;

revoke all on function listener.welcomes_left(text) from public, anon, authenticated;
grant execute on function listener.welcomes_left(text) to service_role;

-- listener.withdraw_sessions() trigger, after delete, for each statement, transition table old_rows
-- Cancels and refunds the open sessions of deleted rows; a running attempt hears of it at its worker's next heartbeat, and
-- gives back what a cancel would: deleting the row is no way around the kind's policy. What the sessions knew and made goes, too.
-- After, not before: the delete has locked the visible rows by then, so the lock order is the settling functions' own.
-- Locks:  sessions ascending, then accounts.
create function listener.withdraw_sessions()
returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  v_table record;
  v_rows uuid[];
  v_open uuid[];
  v_now timestamptz := listener.clock();
begin
  select registry.id, registry.id_column into strict v_table
  from listener.session_tables as registry
  where registry.relation = tg_relid;

  v_rows := array(select (to_jsonb(old_rows) ->> v_table.id_column)::uuid from old_rows);
  v_open := array(
    select session.id
    from listener.sessions as session
    where
      session.row_id = any(v_rows) and session.table_id = v_table.id
      and session.status in ('queued', 'delayed', 'processing')
    order by session.id
    for no key update
  );
  perform listener.discard(v_table.id, v_rows);
  if cardinality(v_open) = 0 then
    return null;
  end if;
  update listener.sessions as session
  set
    status = 'cancelled', worker = null, run_at = null, finished_at = v_now, updated_at = v_now,
    cancel_requested_at = coalesce(session.cancel_requested_at, v_now),
    refund_due = case when session.status = 'processing' then listener.cancel_share(session.id) end
  where session.id = any(v_open);
  perform listener.refund(v_open);
  return null;
end
$$;

revoke all on function listener.withdraw_sessions() from public, anon, authenticated;

-- public.worker_demand() -> integer
-- Sessions that need a worker now, for autoscalers: running, or waiting and due as far as the limits would let them run.
-- Never null.
create function public.worker_demand()
returns integer
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  if
    exists (select from listener.plans as plan where plan.running_at_once is not null)
    or exists (select from listener.kinds as kind where kind.running_at_once is not null)
  then
    return listener.limited_demand();
  end if;
  return (
    select count(*)
    from listener.sessions as session
    where
      session.status = 'queued'
      or session.status = 'processing'
      or (session.status = 'delayed' and session.run_at <= (select listener.clock()))
  );
end
$$;

revoke all on function public.worker_demand() from public, anon, authenticated;
grant execute on function public.worker_demand() to service_role;

-- listener.write_branch(table, relation, id_column, columns) -> text
-- One watched table's branch of listener.write_visible: every state column that the table has, and its version.
create function listener.write_branch(p_table_id integer, p_relation regclass, p_id_column text, p_columns jsonb)
returns text
language sql stable security invoker
set search_path = ''
as $$
  select format(
    $branch$
    when %1$s then
      with shown as (
        update %2$s as visible
        set %4$s, %5$I = visible.%5$I + 1
        from unnest(p_states) as state
        where visible.%3$I = state.row_id
        returning state.row_id
      )
      select array_agg(shown.row_id) into v_shown from shown;
    $branch$,
    p_table_id, p_relation, p_id_column,
    (
      select string_agg(format('%I = state.%I', pair.value, pair.key), ', ' order by pair.key)
      from jsonb_each_text(p_columns) as pair
      where pair.key <> 'version'
    ),
    p_columns ->> 'version'
  )
$$;

revoke all on function listener.write_branch(integer, regclass, text, jsonb) from public, anon, authenticated, service_role;

-- listener.write_completed(sessions, versions, results, refunds, devices_s, costs_usd, now) -> integer
-- Settles sessions as completed, adds what their attempts came to where that is known, and tells analytics so, in one statement: no
-- session is read again for its event. Those whose xmin is no longer the given version are left alone; null means any. Returns how
-- many it wrote.
-- Locks:  sessions.
create function listener.write_completed(
  p_sessions uuid[], p_versions xid[], p_results jsonb[], p_refunds integer[], p_devices_s double precision[],
  p_costs_usd double precision[], p_now timestamptz
)
returns integer
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_count integer;
  v_packs uuid[];
begin
  with settled as (
    update listener.sessions as session
    set
      status = 'completed', progress = 100, note = null, finished_at = p_now, updated_at = p_now, result = given.result,
      error_code = null, error_message = null, error_details = null,
      refund_due = nullif(least(greatest(given.refund, 0), session.cost), 0),
      device_s = case when given.device_s is null then session.device_s else coalesce(session.device_s, 0) + greatest(given.device_s, 0) end,
      cost_usd = case when given.cost_usd is null then session.cost_usd else coalesce(session.cost_usd, 0) + greatest(given.cost_usd, 0) end
    from
      unnest(p_sessions, p_versions, p_results, p_refunds, p_devices_s, p_costs_usd)
        as given (id, version, result, refund, device_s, cost_usd),
      listener.kinds as policy
    where session.id = given.id and session.kind = policy.kind and session.xmin = coalesce(given.version, session.xmin)
    returning session.id, session.kind, session.owner, session.params ->> 'character_id' as character_id, session.started_at,
      policy.records_events
  ),
  told as (
    insert into listener.events (session, event, kind, owner, properties, at)
    select
      settled.id, 'generation_completed', settled.kind, settled.owner,
      jsonb_build_object(
        'character_id', settled.character_id,
        'duration_ms', floor(1000 * extract(epoch from p_now - settled.started_at))::bigint
      ),
      p_now
    from settled
    where settled.records_events
  )
  select count(*), array_agg(settled.id) filter (where settled.kind = 'pack') into v_count, v_packs from settled;
  if v_packs is not null then
    perform listener.record_events(v_packs, 'pack_completed');
  end if;
  return v_count;
end
$$;

revoke all on function listener.write_completed(
  uuid[], xid[], jsonb[], integer[], double precision[], double precision[], timestamptz
) from public, anon, authenticated;
grant execute on function listener.write_completed(
  uuid[], xid[], jsonb[], integer[], double precision[], double precision[], timestamptz
) to service_role;

-- triggers of listener.artifacts
create trigger artifacts_stored after insert on listener.artifacts
referencing new table as new_artifacts
for each statement execute function listener.record_stored();

-- triggers of public.characters
create trigger characters_bound before insert on public.characters
for each row execute function listener.bound_characters();

-- triggers of public.generation_jobs
-- Beside those that listener.watch gives it; before zz_listener_reset, since triggers fire by name.
create trigger generation_jobs_take_character before insert on public.generation_jobs
for each row execute function listener.take_character();

create trigger generation_jobs_count_images before update on public.generation_jobs
for each row
when (new.result is distinct from old.result)
execute function listener.count_images();

create trigger generation_jobs_show_images after update on public.generation_jobs
referencing old table as old_rows new table as new_rows
for each statement execute function listener.show_images();

-- triggers of listener.kinds
create trigger kinds_start_virtual_time after insert on listener.kinds
for each row execute function listener.start_virtual_time();

-- triggers of listener.ledger
create trigger ledger_guard before update or delete or truncate on listener.ledger
for each statement execute function listener.guard_ledger();

-- triggers of listener.session_tables
create trigger session_tables_bind after insert or delete or update of relation, id_column, columns on listener.session_tables
for each statement execute function listener.rebind_tables();

create trigger session_tables_mended after update of broken_at on listener.session_tables
for each row
when (old.broken_at is not null and new.broken_at is null)
execute function listener.rebind_tables();

-- triggers of listener.sessions
-- Each names its columns: the condition of one that an update does not concern is not even read from the catalog.
create trigger sessions_guard before update of status, refund_due, attempt, failures on listener.sessions
for each row
when (
  (old.finished_at is not null and (new.status, new.refund_due) is distinct from (old.status, old.refund_due))
  or new.attempt < old.attempt
  or new.failures < old.failures
)
execute function listener.guard_session();

create trigger sessions_identity before update of id, table_id, row_id, kind, owner, cost, tells_partner, variant on listener.sessions
for each row
when (
  (new.id, new.table_id, new.row_id, new.kind, new.owner, new.cost, new.tells_partner, new.variant)
  is distinct from (old.id, old.table_id, old.row_id, old.kind, old.owner, old.cost, old.tells_partner, old.variant)
)
execute function listener.guard_session();

create trigger sessions_tell_partner after update of finished_at on listener.sessions
for each row
when (new.tells_partner and old.finished_at is null and new.finished_at is not null)
execute function listener.record_delivery();

-- triggers of auth.users
create trigger listener_forget_user after delete on auth.users
for each row execute function listener.forget_user();

-- policies of public.avatar_sessions
-- A signed-in user sees and inserts rows of his own; nobody but service_role changes them.
create policy avatar_sessions_owner_reads on public.avatar_sessions
for select to authenticated using ((select auth.uid()) = user_id);

create policy avatar_sessions_owner_inserts on public.avatar_sessions
for insert to authenticated with check ((select auth.uid()) = user_id);

-- policies of public.character_images
-- A signed-in user sees his own; the database writes them.
create policy character_images_owner_reads on public.character_images
for select to authenticated using ((select auth.uid()) = user_id);

-- policies of public.characters
-- A signed-in user sees, inserts, changes and deletes his own.
create policy characters_owner_reads on public.characters
for select to authenticated using ((select auth.uid()) = user_id);

create policy characters_owner_inserts on public.characters
for insert to authenticated with check ((select auth.uid()) = user_id);

create policy characters_owner_changes on public.characters
for update to authenticated using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);

create policy characters_owner_deletes on public.characters
for delete to authenticated using ((select auth.uid()) = user_id);

-- policies of public.generation_jobs
-- A signed-in user sees and inserts rows of his own; nobody but service_role changes them.
create policy generation_jobs_owner_reads on public.generation_jobs
for select to authenticated using ((select auth.uid()) = user_id);

create policy generation_jobs_owner_inserts on public.generation_jobs
for insert to authenticated with check ((select auth.uid()) = user_id);

-- policies of public.generation_sessions
-- A signed-in user sees and inserts rows of his own; nobody but service_role changes them.
create policy generation_sessions_owner_reads on public.generation_sessions
for select to authenticated using ((select auth.uid()) = user_id);

create policy generation_sessions_owner_inserts on public.generation_sessions
for insert to authenticated with check ((select auth.uid()) = user_id);

-- policies of public.headshot_sessions
-- A signed-in user sees and inserts rows of his own; nobody but service_role changes them.
create policy headshot_sessions_owner_reads on public.headshot_sessions
for select to authenticated using ((select auth.uid()) = user_id);

create policy headshot_sessions_owner_inserts on public.headshot_sessions
for insert to authenticated with check ((select auth.uid()) = user_id);

-- policies of storage.objects
-- The buckets are private: an owner reads what lies in the folder that bears his id. He writes only to uploads, and there
-- replaces nothing: an upload that a session names must stay what it was. In the bucket stores the first folder is the store's,
-- and in videos where generated is the second; the store's members read it.
create policy listener_owner_reads on storage.objects
for select to authenticated using (
  bucket_id in ('headshots', 'generated', 'characters', 'videos', 'uploads')
  and split_part(name, '/', 1) = (select auth.uid())::text
  and (bucket_id <> 'videos' or split_part(name, '/', 2) <> 'generated')
);

create policy listener_owner_uploads on storage.objects
for insert to authenticated with check (
  bucket_id = 'uploads' and split_part(name, '/', 1) = (select auth.uid())::text
);

create policy listener_owner_removes_uploads on storage.objects
for delete to authenticated using (
  bucket_id = 'uploads' and split_part(name, '/', 1) = (select auth.uid())::text
);

create policy listener_member_reads on storage.objects
for select to authenticated using (
  (bucket_id = 'stores' or (bucket_id = 'videos' and split_part(name, '/', 2) = 'generated'))
  and split_part(name, '/', 1) in (
    select member.store_id::text
    from public.store_members as member
    where member.user_id = (select auth.uid())
  )
);

-- policies of public.store_avatar_sessions
-- A member of the store sees its rows; nobody but service_role inserts or changes any.
create policy store_avatar_sessions_member_reads on public.store_avatar_sessions
for select to authenticated using (
  store_id in (
    select member.store_id
    from public.store_members as member
    where member.user_id = (select auth.uid())
  )
);

-- policies of public.store_generation_sessions
-- A member of the store sees its rows; nobody but service_role inserts or changes any.
create policy store_generation_sessions_member_reads on public.store_generation_sessions
for select to authenticated using (
  store_id in (
    select member.store_id
    from public.store_members as member
    where member.user_id = (select auth.uid())
  )
);

-- policies of public.store_members
-- A signed-in user sees his own memberships; nobody but service_role gives or takes any.
create policy store_members_member_reads on public.store_members
for select to authenticated using ((select auth.uid()) = user_id);

-- policies of public.stores
-- A signed-in user sees the stores that he is a member of; store_members' own policy shows him just his memberships.
create policy stores_member_reads on public.stores
for select to authenticated using (
  id in (
    select member.store_id
    from public.store_members as member
    where member.user_id = (select auth.uid())
  )
);

-- rows of storage.buckets
-- Private. headshots: what workers save for headshot sessions; generated: for every kind that names no bucket of its own;
-- stores: what workers save for stores, {store_id}/generated/{session_id}.jpg; characters: packs,
-- {user_id}/{character_id}/{job_id}/...; videos: clips and their posters, {user_id}/{session_id}/..., of stores
-- {store_id}/generated/{session_id}/...; uploads: what users give to be worked on, pictures and sound.
-- Units: file_size_limit is bytes.
insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
values
('headshots', 'headshots', false, 52428800, array['image/png', 'image/jpeg', 'image/webp']),
('generated', 'generated', false, 524288000, array['image/png', 'image/jpeg', 'image/webp', 'video/mp4']),
('stores', 'stores', false, 52428800, array['image/png', 'image/jpeg', 'image/webp']),
('characters', 'characters', false, 52428800, array['image/png', 'image/jpeg', 'image/webp']),
('videos', 'videos', false, 524288000, array['video/mp4', 'image/webp']),
(
  'uploads', 'uploads', false, 52428800,
  array[
    'image/png', 'image/jpeg', 'image/webp', 'audio/wav', 'audio/x-wav', 'audio/wave', 'audio/mpeg', 'audio/mp3'
  ]
)
on conflict (id) do update
  set
    public = excluded.public,
    file_size_limit = excluded.file_size_limit,
    allowed_mime_types = excluded.allowed_mime_types;

-- rows of listener.kinds
-- A pack that its user cancels while it runs keeps, and costs, the images that are there.
insert into listener.kinds (kind, work, time_limit_s, grace_s, max_attempts, bucket, cancel_refund)
values
('headshot', 1, 300, 60, 3, 'headshots', 'all'),
('tryon', 1, 300, 60, 2, 'generated', 'all'),
('pack', 1, 600, 60, 3, 'characters', 'undelivered'),
('avatar', 1, 600, 60, 2, 'videos', 'all');

-- rows of listener.plans
-- 'free' is what a new account gets. head_start: see tables/plans.sql.
insert into listener.plans (plan, weight, head_start, welcome_credits)
values
('free', 1, 0, 10),
('paid', 2, 1000, 0);

-- rows of listener.retentions
-- Six hours are what the address of a clip is good for. VIDEO_RETENTION_HOURS of a worker says otherwise (set_retention).
insert into listener.retentions (bucket, keep_hours)
values ('videos', 6);

-- rows of listener.session_tables
-- Our own tables come in by the same door as everybody's; their files name what users may insert.
select listener.watch('public.headshot_sessions', kind => 'headshot', credits => 1, insert_columns => '{}');
select listener.watch('public.generation_sessions', kind => 'tryon', credits => 1, insert_columns => '{}');
select listener.watch(
  'public.store_generation_sessions', kind => 'tryon', owner_column => 'store_id', credits => 1, insert_columns => '{}'
);

select listener.watch('public.avatar_sessions', kind => 'avatar', credits => 1, insert_columns => '{}');
select listener.watch(
  'public.store_avatar_sessions', kind => 'avatar', owner_column => 'store_id', credits => 1, insert_columns => '{}'
);

select listener.watch(
  'public.generation_jobs', kind => 'pack', credits => 1, columns => '{"finished_at": "completed_at"}', insert_columns => '{}'
);

update listener.session_tables as registry
set bucket = 'stores', folder = '{owner}/generated', tells_partner = true
where registry.relation = 'public.store_generation_sessions'::regclass;

update listener.session_tables as registry
set folder = '{owner}/generated', tells_partner = true
where registry.relation = 'public.store_avatar_sessions'::regclass;

update listener.session_tables as registry
set credits_column = 'image_count', folder = '{owner}/{character}'
where registry.relation = 'public.generation_jobs'::regclass;

update listener.session_tables set is_ours = true;

-- publication supabase_realtime
-- The workers' canary, and the images of packs; listener.watch adds the session tables. Last, after schema usage and column grants: see
-- schemas/listener.sql.
alter publication supabase_realtime add table listener.workers, public.character_images;
