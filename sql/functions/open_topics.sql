-- listener.open_topics()
-- Lets a signed-in user hear the topic of his own id and those of his stores; nobody may send there by it. Made when the first
-- table broadcasts and not by the migration: Realtime may not have made its table by then, and it is not touched unasked.
-- Locks:  realtime.messages, when the policy is not there yet.
create function listener.open_topics()
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  if exists (
    select from pg_catalog.pg_policy as policy
    where policy.polrelid = 'realtime.messages'::regclass and policy.polname = 'listener_owner_hears'
  ) then
    return;
  end if;
  create policy listener_owner_hears on realtime.messages
  for select to authenticated using (
    extension = 'broadcast' and (
      topic = 'owner:' || (select auth.uid())
      or topic in (
        select 'owner:' || member.store_id
        from public.store_members as member
        where member.user_id = (select auth.uid())
      )
    )
  );
end
$$;

revoke all on function listener.open_topics() from public, anon, authenticated, service_role;
