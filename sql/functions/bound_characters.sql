-- listener.bound_characters() trigger, before insert on public.characters, for each row
-- A user has at most 1000 characters: they cost nothing, and nobody shall fill the database with them.
-- Raises: PT403 too_many_characters (HTTP 403).
create function listener.bound_characters()
returns trigger
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  if exists (
    select from public.characters as owned where owned.user_id = new.user_id offset 999 limit 1
  ) then
    raise sqlstate 'PT403' using message = 'too_many_characters', detail = 'A user has at most 1000 characters.';
  end if;
  return new;
end
$$;

revoke all on function listener.bound_characters() from public, anon, authenticated;
