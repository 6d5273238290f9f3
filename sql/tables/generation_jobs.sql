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
