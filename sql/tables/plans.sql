-- listener.plans
-- What an account's plan is worth in the queue, what a new account is given, and what it may ask for; null is no limit.
-- Units: head_start is in units of work: a plan with 50 overtakes one with 0 until that is 50 units of work ahead.
--        welcomes_per_hour counts all accounts of the plan together; the other limits hold for each owner.
create table listener.plans (
  plan text primary key,
  weight double precision not null default 1,
  head_start double precision not null default 0,
  welcome_credits integer not null default 0,
  inserts_per_minute integer,
  inserts_per_day integer,
  running_at_once integer,
  welcomes_per_hour integer,
  constraint plans_weight_is_positive check (weight > 0),
  constraint plans_head_start_is_not_negative check (head_start >= 0),
  constraint plans_welcome_credits_are_not_negative check (welcome_credits >= 0),
  constraint plans_inserts_per_minute_is_positive check (inserts_per_minute > 0),
  constraint plans_inserts_per_day_is_positive check (inserts_per_day > 0),
  constraint plans_running_at_once_is_positive check (running_at_once > 0),
  constraint plans_welcomes_per_hour_is_not_negative check (welcomes_per_hour >= 0)
);

alter table listener.plans enable row level security;
revoke all on table listener.plans from public, anon, authenticated, service_role;
grant select on table listener.plans to service_role;
