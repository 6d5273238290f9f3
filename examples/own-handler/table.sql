-- The app's table of postcards; every row that arrives queued is a session of the kind `postcard` and costs one credit.
create table public.postcards (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null default auth.uid(),
  place text not null
);
alter table public.postcards enable row level security;
create policy "owners read" on public.postcards for select to authenticated using ((select auth.uid()) = user_id);
create policy "owners insert" on public.postcards for insert to authenticated with check ((select auth.uid()) = user_id);

select listener.watch('public.postcards', kind => 'postcard');
