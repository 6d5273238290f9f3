-- policies of public.store_avatar_sessions
-- A member of the store sees its rows; nobody but service_role inserts or changes any.
create policy store_avatar_sessions_member_reads on public.store_avatar_sessions
for select to authenticated using (
  store_id in (
    select member.store_id
    from public.store_members as member
    where member.user_id = (select auth.uid())
  )
);
