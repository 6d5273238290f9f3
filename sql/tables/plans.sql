-- listener.plans
-- What an account's plan is worth in the queue, and what a new account is given.
-- Units: head_start is in units of work: a plan with 50 overtakes one with 0 until that is 50 units of work ahead.
create table listener.plans (
  plan text primary key,
  weight double precision not null default 1,
  head_start double precision not null default 0,
  welcome_credits integer not null default 0,
  constraint plans_weight_is_positive check (weight > 0),
  constraint plans_head_start_is_not_negative check (head_start >= 0),
  constraint plans_welcome_credits_are_not_negative check (welcome_credits >= 0)
);

alter table listener.plans enable row level security;
revoke all on table listener.plans from public, anon, authenticated, service_role;
grant select on table listener.plans to service_role;
