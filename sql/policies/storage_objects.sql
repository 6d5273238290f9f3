-- policies of storage.objects
-- The buckets are private: an owner reads what lies in the folder that bears his id, and writes nothing.
create policy listener_owner_reads on storage.objects
for select to authenticated using (
  bucket_id in ('headshots', 'generated') and split_part(name, '/', 1) = (select auth.uid())::text
);
