-- listener.deliveries
-- What partners are told: one row for each finished session of a store with an active webhook, written by the settling
-- transaction. `id` is the message's, the same at every attempt. `attempt` only grows and is the fence of settle_deliveries;
-- `failures` counts what limits it. Kept for 30 days after its end; `session` is no foreign key, it outlives pruned sessions.
-- Units: next_at is when a waiting one is due, and when a sending one is taken from its worker.
create table listener.deliveries (
  id uuid primary key default gen_random_uuid(),
  session uuid not null,
  store uuid not null references listener.partner_webhooks (store) on delete cascade,
  event text not null,
  status text not null default 'waiting',
  attempt integer not null default 0,
  failures integer not null default 0,
  next_at timestamptz not null,
  worker uuid,
  claimed_at timestamptz,
  last_status integer,
  last_error text,
  created_at timestamptz not null,
  ended_at timestamptz,
  constraint deliveries_once_per_session unique (session),
  constraint deliveries_event_is_known check (event in ('session.completed', 'session.failed', 'session.cancelled')),
  constraint deliveries_status_is_known check (status in ('waiting', 'sending', 'delivered', 'dead')),
  constraint deliveries_ended_iff_over check ((ended_at is not null) = (status in ('delivered', 'dead'))),
  constraint deliveries_sending_by_a_worker check (status <> 'sending' or (worker is not null and claimed_at is not null)),
  constraint deliveries_last_error_is_bounded check (char_length(last_error) <= 500)
) with (fillfactor = 70);

create index deliveries_due on listener.deliveries (store, next_at) where status = 'waiting';
create index deliveries_sending on listener.deliveries (store) where status = 'sending';
create index deliveries_by_store on listener.deliveries (store, created_at);
create index deliveries_ended on listener.deliveries (ended_at) where ended_at is not null;

alter table listener.deliveries enable row level security;
revoke all on table listener.deliveries from public, anon, authenticated, service_role;
grant select, insert, update on table listener.deliveries to service_role;
