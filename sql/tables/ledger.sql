-- listener.ledger
-- Every movement of credits, for ever. `key` makes it happen once: charge:<session>, refund:<session>, grant:<caller's key>,
-- welcome:<owner>. `session` is no foreign key: the ledger outlives pruned sessions.
-- Units: amount is whole credits, negative for a charge.
create table listener.ledger (
  id bigint generated always as identity primary key,
  key text not null,
  entry text not null,
  owner uuid not null references listener.accounts (owner),
  amount integer not null,
  session uuid,
  reason text not null,
  created_at timestamptz not null default now(),
  constraint ledger_once_per_key unique (key),
  constraint ledger_entry_is_known check (entry in ('charge', 'refund', 'grant')),
  constraint ledger_charge_takes_and_others_give check (
    (entry = 'charge' and amount < 0) or (entry in ('refund', 'grant') and amount > 0)
  ),
  constraint ledger_session_unless_grant check ((entry = 'grant') = (session is null)),
  constraint ledger_key_names_the_session check (
    entry = 'grant' or key = entry || ':' || session::text
  )
);

create index ledger_by_owner on listener.ledger (owner, created_at);

alter table listener.ledger enable row level security;
revoke all on table listener.ledger from public, anon, authenticated, service_role;
grant select, insert on table listener.ledger to service_role;
