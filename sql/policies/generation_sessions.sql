-- policies of public.generation_sessions
-- A signed-in user sees and inserts rows of his own; nobody but service_role changes them.
create policy generation_sessions_owner_reads on public.generation_sessions
for select to authenticated using ((select auth.uid()) = user_id);

create policy generation_sessions_owner_inserts on public.generation_sessions
for insert to authenticated with check ((select auth.uid()) = user_id);
