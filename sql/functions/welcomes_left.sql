-- listener.welcomes_left(plan) -> integer
-- How many more welcome grants the plan gives now; without a limit, as many as there are integers.
create function listener.welcomes_left(p_plan text)
returns integer
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_limit integer := (select plan.welcomes_per_hour from listener.plans as plan where plan.plan = p_plan);
begin
  if v_limit is null then
    return 2147483647;
  end if;
  return v_limit - (
    select count(*)
    from listener.accounts as account
    where account.plan = p_plan and account.welcomed_at > listener.clock() - interval '1 hour'
  );
end
$$;

revoke all on function listener.welcomes_left(text) from public, anon, authenticated;
grant execute on function listener.welcomes_left(text) to service_role;
