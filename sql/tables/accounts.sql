-- listener.accounts
-- One owner's credits and plan. The balance is the sum of the owner's ledger entries (view credit_audit) and never negative.
-- welcomed_at: when the welcome grant came, which is with the first session that costs something, or with a first grant.
-- Units: balance is whole credits.
create table listener.accounts (
  owner uuid primary key,
  plan text not null default 'free' references listener.plans (plan),
  balance integer not null default 0,
  created_at timestamptz not null default now(),
  welcomed_at timestamptz,
  constraint accounts_balance_is_not_negative check (balance >= 0)
) with (fillfactor = 70);

create index accounts_by_plan on listener.accounts (plan, welcomed_at);

alter table listener.accounts enable row level security;
revoke all on table listener.accounts from public, anon, authenticated, service_role;
grant select, insert, update on table listener.accounts to service_role;
