-- public.acquire_permits(worker, kind, count) -> jsonb
-- Allows up to `count` requests to the kind's provider, so that all workers together send no more than its requests_per_minute in
-- any 60 seconds. Answers {"known", "granted", "retry_after_s"}: with fewer granted than asked, when the next one is free.
-- A permit is spent when it is given, used or not: a lost answer makes the limit stricter, never looser.
-- Units: retry_after_s is seconds. known = false: the worker's lease has run out, it may send nothing.
-- Locks:  an advisory lock of the kind's permits, lock before count.
-- Raises: 22023 for a kind that does not exist, or a count that is not 1..1000.
create function public.acquire_permits(p_worker uuid, p_kind text, p_count integer default 1)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_limit integer;
  v_now timestamptz;
  v_used integer;
  v_oldest timestamptz;
  v_granted integer;
begin
  if coalesce(p_count, 0) not between 1 and 1000 then
    raise exception 'permits are asked for by 1 to 1000' using errcode = '22023';
  end if;
  select kind.requests_per_minute into v_limit from listener.kinds as kind where kind.kind = p_kind;
  if not found then
    raise exception 'there is no such kind' using errcode = '22023';
  elsif not listener.live_worker(p_worker) then
    return jsonb_build_object('known', false, 'granted', 0, 'retry_after_s', null);
  elsif v_limit is null then
    return jsonb_build_object('known', true, 'granted', p_count, 'retry_after_s', null);
  end if;

  perform pg_advisory_xact_lock(hashtext('listener.permits'), hashtext(p_kind));
  v_now := listener.clock();
  delete from listener.permits as permit where permit.kind = p_kind and permit.granted_at <= v_now - interval '60 s';
  select coalesce(sum(permit.granted), 0), min(permit.granted_at) into v_used, v_oldest
  from listener.permits as permit
  where permit.kind = p_kind;
  v_granted := least(p_count, greatest(v_limit - v_used, 0));
  if v_granted > 0 then
    insert into listener.permits (kind, worker, granted, granted_at) values (p_kind, p_worker, v_granted, v_now);
  end if;
  return jsonb_build_object(
    'known', true, 'granted', v_granted,
    'retry_after_s', case
      when v_granted < p_count
        then round(extract(epoch from coalesce(v_oldest, v_now) + interval '60 s' - v_now), 3)
    end
  );
end
$$;

revoke all on function public.acquire_permits(uuid, text, integer) from public, anon, authenticated;
grant execute on function public.acquire_permits(uuid, text, integer) to service_role;
