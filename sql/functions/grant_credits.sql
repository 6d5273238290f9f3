-- public.grant_credits(owner, amount, key, reason) -> jsonb
-- Gives credits once per key, however often it is called. Answers {"balance", "outcome"}.
-- Units: amount is whole credits, 1..1,000,000.
-- Locks:  the account.
-- Raises: 22023 for another amount range or an empty key; SL003 when the key was used for another owner or amount.
create function public.grant_credits(p_owner uuid, p_amount integer, p_key text, p_reason text)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_key text := 'grant:' || p_key;
  v_granted integer;
  v_balance integer;
begin
  if coalesce(p_amount, 0) not between 1 and 1000000 or coalesce(p_key, '') = '' then
    raise exception 'a grant needs a key and 1 to 1,000,000 credits' using errcode = '22023';
  end if;
  perform listener.open_accounts(array[p_owner]);
  perform listener.welcome_accounts(array[p_owner]);
  insert into listener.ledger as entry (key, entry, owner, amount, reason, created_at)
  values (v_key, 'grant', p_owner, p_amount, coalesce(p_reason, ''), listener.clock())
  on conflict (key) do nothing
  returning entry.amount into v_granted;
  if v_granted is null and not exists (
    select from listener.ledger as entry
    where entry.key = v_key and entry.owner = p_owner and entry.amount = p_amount
  ) then
    raise exception 'transition_refused' using errcode = 'SL003', detail = 'This key was used for another grant.';
  end if;
  update listener.accounts as account
  set balance = account.balance + coalesce(v_granted, 0)
  where account.owner = p_owner
  returning account.balance into v_balance;
  return jsonb_build_object(
    'balance', v_balance, 'outcome', case when v_granted is null then 'already' else 'applied' end
  );
end
$$;

revoke all on function public.grant_credits(uuid, integer, text, text) from public, anon, authenticated;
grant execute on function public.grant_credits(uuid, integer, text, text) to service_role;
