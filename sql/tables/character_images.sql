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
