-- policies of public.generation_jobs
-- A signed-in user sees and inserts rows of his own; nobody but service_role changes them.
create policy generation_jobs_owner_reads on public.generation_jobs
for select to authenticated using ((select auth.uid()) = user_id);

create policy generation_jobs_owner_inserts on public.generation_jobs
for insert to authenticated with check ((select auth.uid()) = user_id);
