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
