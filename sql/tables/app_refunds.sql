-- listener.app_refunds
-- What an app with a credit system of its own has to give back, once per session; its function is called by the settling
-- transaction, and again by the sweep for as long as it raises. A failing function never loses a settlement: it is owed here.
-- `session` is no foreign key: what is owed outlives pruned sessions.
-- Units: amount is in the app's credits.
create table listener.app_refunds (
  session uuid primary key,
  row_id uuid not null,
  on_refund text not null,
  amount integer not null,
  created_at timestamptz not null,
  calls integer not null default 0,
  call_at timestamptz not null,
  paid_at timestamptz,
  error text,
  constraint app_refunds_amount_is_positive check (amount > 0)
);

create index app_refunds_owed on listener.app_refunds (call_at) where paid_at is null;

alter table listener.app_refunds enable row level security;
revoke all on table listener.app_refunds from public, anon, authenticated, service_role;
grant select, insert, update on table listener.app_refunds to service_role;
