-- listener.forget_user() trigger, after delete on auth.users, for each row
-- Deletes what the user had here: see forget_owner.
-- Security definer: whoever deletes users has no rights on our tables.
create function listener.forget_user()
returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform public.forget_owner(old.id);
  return null;
end
$$;

revoke all on function listener.forget_user() from public, anon, authenticated, service_role;
