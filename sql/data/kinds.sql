-- rows of listener.kinds
insert into listener.kinds (kind, work, time_limit_s, grace_s, max_attempts, bucket)
values
('headshot', 1, 300, 60, 3, 'headshots'),
('tryon', 1, 300, 60, 2, 'generated');
