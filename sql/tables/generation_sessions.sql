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
