-- listener.refund(sessions) -> integer
-- Gives back what settled sessions did not earn, once each: the ledger's key makes the second time nothing. A failed or
-- cancelled session gives back its cost, a completed one nothing, unless settling wrote another amount into refund_due.
-- What the app took is given back by the app: see refund_by_app. Returns the credits given back now.
-- Locks:  accounts, ascending owner; the sessions are locked by the caller. For no key update: a second update of a session in
--         one transaction takes its foreign key's key share, and two of those raised to for update wait for each other (seen).
create function listener.refund(p_sessions uuid[])
returns integer
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_refunded integer;
begin
  perform from listener.accounts as account
  where account.owner in (
    select session.owner from listener.sessions as session
    where
      session.id = any(p_sessions) and session.cost > 0 and not session.paid_by_app
      and (session.status <> 'completed' or session.refund_due > 0)
  )
  order by account.owner
  for no key update;

  with booked as (
    insert into listener.ledger as entry (key, entry, owner, amount, session, reason, created_at)
    select
      'refund:' || session.id::text, 'refund', session.owner, part.amount, session.id,
      case session.status when 'failed' then session.error_code when 'completed' then 'undelivered' else session.status end,
      listener.clock()
    from listener.sessions as session
    cross join lateral (
      select case
        when session.status in ('failed', 'cancelled') then coalesce(session.refund_due, session.cost)
        when session.status = 'completed' then session.refund_due
      end as amount
    ) as part
    where session.id = any(p_sessions) and part.amount > 0 and not session.paid_by_app
    on conflict (key) do nothing
    returning entry.owner, entry.amount
  ),
  due as (
    select booked.owner, sum(booked.amount)::integer as amount from booked group by booked.owner
  ),
  paid as (
    update listener.accounts as account
    set balance = account.balance + due.amount
    from due
    where account.owner = due.owner
    returning due.amount
  )
  select coalesce(sum(paid.amount), 0) into v_refunded from paid;
  return v_refunded + listener.refund_by_app(p_sessions);
end
$$;

revoke all on function listener.refund(uuid[]) from public, anon, authenticated;
grant execute on function listener.refund(uuid[]) to service_role;
