-- listener.api_keys
-- Keys by which a store's servers use the HTTP API. Only the SHA-256 of a key is here; `prefix` is what its owner knows it by.
-- Units: per_minute is requests in any 60 seconds.
create table listener.api_keys (
  key uuid primary key default gen_random_uuid(),
  store uuid not null references public.stores (id) on delete cascade,
  name text not null,
  hash text not null,
  prefix text not null,
  per_minute integer not null,
  created_at timestamptz not null,
  last_used_at timestamptz,
  revoked_at timestamptz,
  constraint api_keys_once_per_hash unique (hash),
  constraint api_keys_hash_is_a_sha256 check (hash ~ '^[0-9a-f]{64}$'),
  constraint api_keys_name_is_bounded check (char_length(name) between 1 and 100),
  constraint api_keys_prefix_is_bounded check (prefix ~ '^[\x21-\x7e]{1,32}$'),
  constraint api_keys_per_minute_is_sane check (per_minute between 1 and 100000)
) with (fillfactor = 50);

create index api_keys_by_store on listener.api_keys (store, created_at);

alter table listener.api_keys enable row level security;
revoke all on table listener.api_keys from public, anon, authenticated, service_role;
grant select, insert on table listener.api_keys to service_role;
grant update (last_used_at, revoked_at) on table listener.api_keys to service_role;
