-- listener.charge(sessions)
-- Takes the cost of new sessions from their owners, all or nothing; what the app itself took is not taken again.
-- Locks:  accounts, which open_accounts has locked in ascending order.
-- Raises: PT402 credits_insufficient (HTTP 402); the message is constant because it becomes the HTTP reason phrase.
create function listener.charge(p_sessions uuid[])
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  if exists (
    select from (
      select session.owner, sum(session.cost) as credits
      from listener.sessions as session
      where session.id = any(p_sessions) and not session.paid_by_app
      group by session.owner
    ) as due
    inner join listener.accounts as account on due.owner = account.owner
    where account.balance < due.credits
  ) then
    raise sqlstate 'PT402' using
      message = 'credits_insufficient',
      detail = 'The account has fewer credits than this costs.';
  end if;

  with booked as (
    insert into listener.ledger as entry (key, entry, owner, amount, session, reason, created_at)
    select
      'charge:' || session.id::text, 'charge', session.owner, -session.cost, session.id, session.kind, listener.clock()
    from listener.sessions as session
    where session.id = any(p_sessions) and session.cost > 0 and not session.paid_by_app
    returning entry.owner, entry.amount
  ),
  due as (
    select booked.owner, sum(booked.amount) as amount from booked group by booked.owner
  )
  update listener.accounts as account
  set balance = account.balance + due.amount
  from due
  where account.owner = due.owner;
end
$$;

revoke all on function listener.charge(uuid[]) from public, anon, authenticated;
grant execute on function listener.charge(uuid[]) to service_role;
