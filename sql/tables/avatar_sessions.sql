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
