-- policies of public.avatar_sessions
-- A signed-in user sees and inserts rows of his own; nobody but service_role changes them.
create policy avatar_sessions_owner_reads on public.avatar_sessions
for select to authenticated using ((select auth.uid()) = user_id);

create policy avatar_sessions_owner_inserts on public.avatar_sessions
for insert to authenticated with check ((select auth.uid()) = user_id);
