-- public.account_ledger(owner, limit) -> setof (at, entry, amount, balance, key, session, reason)
-- An owner's newest ledger entries, newest first, each with the balance after it. Empty for an owner without an account.
-- Counts back from the account's balance, so its cost is that of the entries it returns.
-- Units: amounts and balances are whole credits; limit is bounded to 1..1000.
create function public.account_ledger(p_owner uuid, p_limit integer default 50)
returns table (
  at timestamptz, entry text, amount integer, balance bigint, key text, session uuid, reason text
)
language sql volatile security invoker
set search_path = ''
as $$
  select
    movement.created_at,
    movement.entry,
    movement.amount,
    account.balance - coalesce(
      sum(movement.amount) over (
        order by movement.created_at desc, movement.id desc rows between unbounded preceding and 1 preceding
      ),
      0
    ),
    movement.key,
    movement.session,
    movement.reason
  from listener.accounts as account
  inner join listener.ledger as movement on account.owner = movement.owner
  where account.owner = p_owner
  order by movement.created_at desc, movement.id desc
  limit least(greatest(coalesce(p_limit, 50), 1), 1000)
$$;

revoke all on function public.account_ledger(uuid, integer) from public, anon, authenticated;
grant execute on function public.account_ledger(uuid, integer) to service_role;
