-- rows of listener.session_tables
-- Our own table comes in by the same door as everybody's; its file names what users may insert.
select listener.watch('public.headshot_sessions', kind => 'headshot', credits => 1, insert_columns => '{}');
