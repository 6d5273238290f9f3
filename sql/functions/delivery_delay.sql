-- listener.delivery_delay(failures) -> interval
-- How long a delivery waits after so many failures: 5 s, 30 s, 2 min, 10 min, 30 min, 2 h, 5 h, 10 h, 14 h, each give or take a
-- fifth by chance, so that a partner who comes back is not met by everything at once.
create function listener.delivery_delay(p_failures integer)
returns interval
language sql volatile security invoker
set search_path = ''
as $$
  select make_interval(
    secs => (array[5, 30, 120, 600, 1800, 7200, 18000, 36000, 50400])[least(greatest(p_failures, 1), 9)] * (0.8 + 0.4 * random())
  )
$$;

revoke all on function listener.delivery_delay(integer) from public, anon, authenticated;
grant execute on function listener.delivery_delay(integer) to service_role;
