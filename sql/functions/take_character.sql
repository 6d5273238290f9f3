-- listener.take_character() trigger, before insert on public.generation_jobs, for each row
-- Gives the job what its character is now: params.character of its session, which no later edit changes. Whatever the inserter
-- wrote there is dropped.
-- Raises: PT404 character_unknown (HTTP 404), also for another user's character.
create function listener.take_character()
returns trigger
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  select jsonb_build_object(
    'id', owned.id, 'name', owned.name, 'config', owned.config, 'style', owned.style,
    'face_reference_path', owned.face_reference_path, 'reference_path', owned.reference_path
  )
  into new.character
  from public.characters as owned
  where owned.id = new.character_id and owned.user_id = new.user_id;
  if not found then
    raise sqlstate 'PT404' using message = 'character_unknown', detail = 'The user has no such character.';
  end if;
  new.completed_count := 0;
  return new;
end
$$;

revoke all on function listener.take_character() from public, anon, authenticated;
