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
