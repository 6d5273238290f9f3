-- rows of listener.kinds
-- A pack that its user cancels while it runs keeps, and costs, the images that are there.
insert into listener.kinds (kind, work, time_limit_s, grace_s, max_attempts, bucket, cancel_refund)
values
('headshot', 1, 300, 60, 3, 'headshots', 'all'),
('tryon', 1, 300, 60, 2, 'generated', 'all'),
('pack', 1, 600, 60, 3, 'characters', 'undelivered'),
('avatar', 1, 600, 60, 2, 'videos', 'all');
