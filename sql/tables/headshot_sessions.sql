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
