-- listener.check_rates(owners)
-- Refuses an insert that is more than its owner's plan allows in a minute or a day; p_owners names each arriving row's owner.
-- Exact for every window, not for the calendar's: it asks when the session left the window that makes room.
-- Locks:  none; the caller has locked the accounts before, for who counts first and locks then lets parallel inserts through.
-- Raises: PGRST, which PostgREST turns into 429 with Retry-After; the texts are constant because they reach HTTP unescaped.
create function listener.check_rates(p_owners uuid[])
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := listener.clock();
  v_wait_s integer;
begin
  if not exists (
    select from listener.plans as plan where plan.inserts_per_minute is not null or plan.inserts_per_day is not null
  ) then
    return;
  end if;
  select ceil(max(
    case
      when arriving.sessions > allowance.sessions then allowance.window_s
      else allowance.window_s - extract(epoch from v_now - blocking.created_at)
    end
  )) into v_wait_s
  from (select owner_id, count(*) as sessions from unnest(p_owners) as owner_id group by owner_id) as arriving
  inner join listener.accounts as account on arriving.owner_id = account.owner
  inner join listener.plans as plan on account.plan = plan.plan
  cross join lateral (
    values (60, plan.inserts_per_minute), (86400, plan.inserts_per_day)
  ) as allowance (window_s, sessions)
  left join lateral (
    select session.created_at
    from listener.sessions as session
    where session.owner = account.owner and session.created_at > v_now - make_interval(secs => allowance.window_s)
    order by session.created_at desc
    offset greatest(allowance.sessions - arriving.sessions, 0)
    limit 1
  ) as blocking on true
  where allowance.sessions is not null and (arriving.sessions > allowance.sessions or blocking.created_at is not null);

  if v_wait_s is not null then
    raise sqlstate 'PGRST' using
      message = json_build_object(
        'code', 'PT429', 'message', 'rate_limited', 'details', 'The plan allows no more sessions for now.', 'hint', null
      ),
      detail = json_build_object(
        'status', 429, 'status_text', 'Too Many Requests',
        'headers', json_build_object('Retry-After', greatest(v_wait_s, 1)::text)
      );
  end if;
end
$$;

revoke all on function listener.check_rates(uuid[]) from public, anon, authenticated;
