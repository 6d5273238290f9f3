-- public.set_plan(owner, plan) -> jsonb
-- Puts an account on a plan: what the app calls when somebody subscribes or leaves. Sessions that wait keep their place. Answers
-- {"plan", "outcome"}.
-- Locks:  the account.
-- Raises: 22023 for a plan that does not exist.
create function public.set_plan(p_owner uuid, p_plan text)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_is_new boolean;
begin
  if not exists (select from listener.plans as plan where plan.plan = p_plan) then
    raise exception 'there is no such plan' using errcode = '22023';
  end if;
  perform listener.open_accounts(array[p_owner]);
  update listener.accounts as account
  set plan = p_plan
  where account.owner = p_owner and account.plan <> p_plan
  returning true into v_is_new;
  return jsonb_build_object('plan', p_plan, 'outcome', case when v_is_new then 'applied' else 'already' end);
end
$$;

revoke all on function public.set_plan(uuid, text) from public, anon, authenticated;
grant execute on function public.set_plan(uuid, text) to service_role;
