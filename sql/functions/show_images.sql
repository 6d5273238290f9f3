-- listener.show_images() trigger, after update on public.generation_jobs, for each statement, transition tables old_rows, new_rows
-- Makes character_images what the jobs' rows show: each image as soon as it is saved, none of an attempt that did not settle, none
-- once all credits went back. A job that completes gives its character the URLs, and a reference (show_characters).
-- Rows without a character are those of a dry run.
-- Locks:  characters ascending; the jobs' rows are locked by the update.
create function listener.show_images()
returns trigger
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_changed uuid[] := array(
    select job.id
    from new_rows as job
    inner join old_rows as earlier on job.id = earlier.id
    where job.character_id is not null and job.result is distinct from earlier.result
  );
  v_done uuid[] := array(
    select job.id
    from new_rows as job
    inner join old_rows as earlier on job.id = earlier.id
    where job.character_id is not null and job.status = 'completed' and earlier.status <> 'completed'
  );
begin
  if cardinality(v_changed) > 0 then
    delete from public.character_images as image
    using new_rows as job
    where
      image.job_id = job.id and job.id = any(v_changed)
      and image.storage_path not in (select picture.path from listener.pictures_of(job.result) as picture);

    insert into public.character_images as image (
      character_id, job_id, user_id, position, pose, storage_path, thumbnail_path, width, height, similarity, similarity_state,
      seed, created_at
    )
    select
      job.character_id, job.id, job.user_id, picture.place, picture.pose, picture.path, picture.thumbnail_path, picture.width,
      picture.height, picture.similarity, picture.similarity_state, picture.seed, listener.clock()
    from new_rows as job
    cross join lateral listener.pictures_of(job.result) as picture
    where job.id = any(v_changed)
    on conflict (job_id, storage_path) do update set
      position = excluded.position, pose = excluded.pose, thumbnail_path = excluded.thumbnail_path, width = excluded.width,
      height = excluded.height, similarity = excluded.similarity, similarity_state = excluded.similarity_state,
      seed = excluded.seed
    where
      (image.position, image.pose, image.thumbnail_path, image.width, image.height, image.similarity, image.similarity_state, image.seed)
      is distinct from (
        excluded.position, excluded.pose, excluded.thumbnail_path, excluded.width, excluded.height, excluded.similarity,
        excluded.similarity_state, excluded.seed
      );
  end if;
  perform listener.show_characters(v_done);
  return null;
end
$$;

revoke all on function listener.show_images() from public, anon, authenticated;
