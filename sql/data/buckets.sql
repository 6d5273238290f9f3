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
