-- rows of listener.session_tables
insert into listener.session_tables (relation, kind, owner_column, credits)
values
('public.headshot_sessions', 'headshot', 'user_id', 1);
