-- policies of public.store_members
-- A signed-in user sees his own memberships; nobody but service_role gives or takes any.
create policy store_members_member_reads on public.store_members
for select to authenticated using ((select auth.uid()) = user_id);
