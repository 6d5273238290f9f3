-- listener.open_accounts(owners)
-- Makes sure that each owner has an account, and locks them all until the transaction ends.
-- Locks:  accounts, ascending owner; for no key update: see refund.
create function listener.open_accounts(p_owners uuid[])
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  insert into listener.accounts as account (owner, created_at)
  select owner_id, listener.clock()
  from (select distinct unnest(p_owners) as owner_id) as given
  order by owner_id
  on conflict (owner) do nothing;

  perform from listener.accounts as account
  where account.owner = any(p_owners)
  order by account.owner
  for no key update;
end
$$;

revoke all on function listener.open_accounts(uuid[]) from public, anon, authenticated;
grant execute on function listener.open_accounts(uuid[]) to service_role;
