-- listener.show_characters(jobs)
-- Gives the characters of completed jobs the URLs of their images; and the reference image, where they have none yet, or where a
-- job could not read the one that they had and drew it anew.
-- Locks:  characters, ascending id.
create function listener.show_characters(p_jobs uuid[])
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  if cardinality(p_jobs) = 0 then
    return;
  end if;
  perform from public.characters as character
  where character.id in (select job.character_id from public.generation_jobs as job where job.id = any(p_jobs))
  order by character.id
  for no key update;

  update public.characters as character
  set
    image_urls = latest.urls,
    reference_path = case
      when character.reference_path is null or character.reference_path = latest.known_path
        then coalesce(latest.reference_path, character.reference_path)
      else character.reference_path
    end,
    updated_at = listener.clock()
  from (
    select distinct on (job.character_id)
      job.character_id,
      job.character ->> 'reference_path' as known_path,
      array(
        select picture.url from listener.pictures_of(job.result) as picture
        where picture.url is not null
        order by picture.place, picture.path
      ) as urls,
      (
        select picture.path from listener.pictures_of(job.result) as picture
        where picture.similarity_state = 'reference'
        order by picture.place, picture.path
        limit 1
      ) as reference_path
    from public.generation_jobs as job
    where job.id = any(p_jobs)
    order by job.character_id, job.created_at desc, job.id
  ) as latest
  where character.id = latest.character_id;
end
$$;

revoke all on function listener.show_characters(uuid[]) from public, anon, authenticated;
grant execute on function listener.show_characters(uuid[]) to service_role;
