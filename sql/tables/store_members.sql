-- public.store_members
-- Which users may read a store's sessions and results. The app's server writes it; a member sees his own memberships.
create table public.store_members (
  store_id uuid not null references public.stores (id) on delete cascade,
  user_id uuid not null,
  created_at timestamptz not null default now(),
  primary key (store_id, user_id)
);

create index store_members_by_user on public.store_members (user_id, store_id);

alter table public.store_members enable row level security;
revoke all on table public.store_members from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.store_members to service_role;
grant select on table public.store_members to authenticated;
