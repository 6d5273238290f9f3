-- listener.count_images() trigger, before update on public.generation_jobs, for each row
-- Keeps completed_count at the images that the row shows; what expires after the end was delivered all the same.
create function listener.count_images()
returns trigger
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  if old.status in ('queued', 'processing') then
    new.completed_count := (select count(*) from listener.pictures_of(new.result));
  end if;
  return new;
end
$$;

revoke all on function listener.count_images() from public, anon, authenticated;
