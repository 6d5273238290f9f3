-- listener.credit_audit
-- Accounts whose balance is not the sum of their ledger entries. Must always be empty.
create view listener.credit_audit
with (security_invoker = true) as
with booked as (
  select
    entry.owner,
    sum(entry.amount) as total
  from listener.ledger as entry
  group by entry.owner
)

select
  account.owner,
  account.balance,
  coalesce(booked.total, 0) as booked
from listener.accounts as account
left join booked on account.owner = booked.owner
where account.balance <> coalesce(booked.total, 0);

revoke all on table listener.credit_audit from public, anon, authenticated, service_role;
grant select on table listener.credit_audit to service_role;
