-- public.stores
-- A store is an owner of its own: its sessions are paid by its account, and its API keys act for it. The app's server makes stores.
create table public.stores (
  id uuid primary key default gen_random_uuid(),
  name text not null,
  created_at timestamptz not null default now(),
  constraint stores_name_is_bounded check (char_length(name) between 1 and 200)
);

alter table public.stores enable row level security;
revoke all on table public.stores from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.stores to service_role;
grant select on table public.stores to authenticated;
