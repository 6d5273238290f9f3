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
