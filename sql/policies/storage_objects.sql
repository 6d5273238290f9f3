-- policies of storage.objects
-- The buckets are private: an owner reads what lies in the folder that bears his id. He writes only to uploads, and there
-- replaces nothing: an upload that a session names must stay what it was. In the bucket stores the first folder is the store's,
-- and in videos where generated is the second; the store's members read it.
create policy listener_owner_reads on storage.objects
for select to authenticated using (
  bucket_id in ('headshots', 'generated', 'characters', 'videos', 'uploads')
  and split_part(name, '/', 1) = (select auth.uid())::text
  and (bucket_id <> 'videos' or split_part(name, '/', 2) <> 'generated')
);

create policy listener_owner_uploads on storage.objects
for insert to authenticated with check (
  bucket_id = 'uploads' and split_part(name, '/', 1) = (select auth.uid())::text
);

create policy listener_owner_removes_uploads on storage.objects
for delete to authenticated using (
  bucket_id = 'uploads' and split_part(name, '/', 1) = (select auth.uid())::text
);

create policy listener_member_reads on storage.objects
for select to authenticated using (
  (bucket_id = 'stores' or (bucket_id = 'videos' and split_part(name, '/', 2) = 'generated'))
  and split_part(name, '/', 1) in (
    select member.store_id::text
    from public.store_members as member
    where member.user_id = (select auth.uid())
  )
);
