-- policies of public.headshot_sessions
-- A signed-in user sees and inserts rows of his own; nobody but service_role changes them.
create policy headshot_sessions_owner_reads on public.headshot_sessions
for select to authenticated using ((select auth.uid()) = user_id);

create policy headshot_sessions_owner_inserts on public.headshot_sessions
for insert to authenticated with check ((select auth.uid()) = user_id);
