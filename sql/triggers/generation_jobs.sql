-- triggers of public.generation_jobs
-- Beside those that listener.watch gives it; before zz_listener_reset, since triggers fire by name.
create trigger generation_jobs_take_character before insert on public.generation_jobs
for each row execute function listener.take_character();

create trigger generation_jobs_count_images before update on public.generation_jobs
for each row
when (new.result is distinct from old.result)
execute function listener.count_images();

create trigger generation_jobs_show_images after update on public.generation_jobs
referencing old table as old_rows new table as new_rows
for each statement execute function listener.show_images();
