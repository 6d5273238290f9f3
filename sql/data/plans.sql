-- rows of listener.plans
-- 'free' is what a new account gets. head_start: see tables/plans.sql.
insert into listener.plans (plan, weight, head_start, welcome_credits)
values
('free', 1, 0, 10),
('paid', 2, 1000, 0);
