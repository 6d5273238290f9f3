-- public.create_api_key(store, name, hash, prefix, per_minute) -> jsonb
-- Gives a store a key, known by its SHA-256 (64 hex digits) alone: whoever makes the key shows it once. Answers {"key", "store",
-- "name", "prefix", "per_minute", "created_at"}.
-- Units: per_minute is requests in any 60 seconds.
-- Raises: 23503 for a store that is not there; 23505 for a hash that is; 23514 for what is out of bounds.
create function public.create_api_key(p_store uuid, p_name text, p_hash text, p_prefix text, p_per_minute integer default 60)
returns jsonb
language sql volatile security invoker
set search_path = ''
as $$
  insert into listener.api_keys as given (store, name, hash, prefix, per_minute, created_at)
  values (p_store, p_name, p_hash, p_prefix, p_per_minute, listener.clock())
  returning jsonb_build_object(
    'key', given.key, 'store', given.store, 'name', given.name, 'prefix', given.prefix, 'per_minute', given.per_minute,
    'created_at', given.created_at
  )
$$;

revoke all on function public.create_api_key(uuid, text, text, text, integer) from public, anon, authenticated;
grant execute on function public.create_api_key(uuid, text, text, text, integer) to service_role;
