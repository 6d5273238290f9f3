-- policies of storage.objects
-- The bucket is private: an owner reads what lies in the folder that bears his id, and writes nothing.
create policy headshots_owner_reads on storage.objects
for select to authenticated using (
  bucket_id = 'headshots' and split_part(name, '/', 1) = (select auth.uid())::text
);
