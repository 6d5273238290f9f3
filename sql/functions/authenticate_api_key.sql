-- public.authenticate_api_key(hash) -> jsonb
-- Whose key has this SHA-256, and whether it may be used now; an accepted request is counted. Answers {"outcome": "accepted",
-- "key", "store", "per_minute", "remaining", "reset_s", "retry_after_s": null}; limited has the same with retry_after_s;
-- unknown and revoked name no store.
-- The limit holds for any 60 seconds: it counts pieces of 5 s as long as any part of them lies in the window, so it can only
-- be undercut.
-- Units: seconds; reset_s is when the oldest counted requests are forgotten.
-- Locks:  the key, before counting.
create function public.authenticate_api_key(p_hash text)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_key record;
  v_now timestamptz;
  v_used integer;
  v_oldest timestamptz;
  v_reset_s numeric;
  v_answer jsonb;
begin
  select given.key, given.store, given.per_minute, given.revoked_at is not null as is_revoked into v_key
  from listener.api_keys as given
  where given.hash = p_hash
  for no key update;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  elsif v_key.is_revoked then
    return jsonb_build_object('outcome', 'revoked', 'key', v_key.key);
  end if;

  v_now := listener.clock();
  delete from listener.api_key_windows as piece where piece.key = v_key.key and piece.starts_at <= v_now - interval '65 s';
  select coalesce(sum(piece.requests), 0), min(piece.starts_at) into v_used, v_oldest
  from listener.api_key_windows as piece
  where piece.key = v_key.key;
  v_reset_s := round(extract(epoch from coalesce(v_oldest, date_bin('5 s', v_now, 'epoch')) + interval '65 s' - v_now), 3);
  v_answer := jsonb_build_object(
    'key', v_key.key, 'store', v_key.store, 'per_minute', v_key.per_minute, 'reset_s', v_reset_s
  );
  perform listener.count_api_request(v_key.key, v_used < v_key.per_minute, v_now);
  if v_used >= v_key.per_minute then
    return v_answer || jsonb_build_object('outcome', 'limited', 'remaining', 0, 'retry_after_s', v_reset_s);
  end if;
  return v_answer || jsonb_build_object(
    'outcome', 'accepted', 'remaining', v_key.per_minute - v_used - 1, 'retry_after_s', null
  );
end
$$;

revoke all on function public.authenticate_api_key(text) from public, anon, authenticated;
grant execute on function public.authenticate_api_key(text) to service_role;
