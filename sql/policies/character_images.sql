-- policies of public.character_images
-- A signed-in user sees his own; the database writes them.
create policy character_images_owner_reads on public.character_images
for select to authenticated using ((select auth.uid()) = user_id);
