-- policies of public.stores
-- A signed-in user sees the stores that he is a member of; store_members' own policy shows him just his memberships.
create policy stores_member_reads on public.stores
for select to authenticated using (
  id in (
    select member.store_id
    from public.store_members as member
    where member.user_id = (select auth.uid())
  )
);
