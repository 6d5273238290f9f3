-- policies of public.characters
-- A signed-in user sees, inserts, changes and deletes his own.
create policy characters_owner_reads on public.characters
for select to authenticated using ((select auth.uid()) = user_id);

create policy characters_owner_inserts on public.characters
for insert to authenticated with check ((select auth.uid()) = user_id);

create policy characters_owner_changes on public.characters
for update to authenticated using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);

create policy characters_owner_deletes on public.characters
for delete to authenticated using ((select auth.uid()) = user_id);
