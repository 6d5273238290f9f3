-- listener.count_api_request(key, is_accepted, now)
-- Writes a request of a key down: for its limit when it was accepted, and for the day in either case.
-- Locks:  none; the caller has locked the key.
create function listener.count_api_request(p_key uuid, p_is_accepted boolean, p_now timestamptz)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  if p_is_accepted then
    insert into listener.api_key_windows as piece (key, starts_at, requests)
    values (p_key, date_bin('5 s', p_now, 'epoch'), 1)
    on conflict (key, starts_at) do update set requests = piece.requests + 1;
    update listener.api_keys as given set last_used_at = p_now where given.key = p_key;
  end if;
  insert into listener.api_key_days as used (key, day, requests, refused)
  values (p_key, (p_now at time zone 'utc')::date, p_is_accepted::integer, (not p_is_accepted)::integer)
  on conflict (key, day) do update set requests = used.requests + excluded.requests, refused = used.refused + excluded.refused;
end
$$;

revoke all on function listener.count_api_request(uuid, boolean, timestamptz) from public, anon, authenticated;
grant execute on function listener.count_api_request(uuid, boolean, timestamptz) to service_role;
