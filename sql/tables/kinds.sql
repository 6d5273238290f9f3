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
