-- rows of storage.buckets
-- Private; what workers save for headshot sessions.
-- Units: file_size_limit is bytes.
insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
values
('headshots', 'headshots', false, 52428800, array['image/png', 'image/jpeg', 'image/webp'])
on conflict (id) do update
  set
    public = excluded.public,
    file_size_limit = excluded.file_size_limit,
    allowed_mime_types = excluded.allowed_mime_types;
