-- publication supabase_realtime
-- Last, after schema usage and column grants: see schemas/listener.sql.
alter publication supabase_realtime add table public.headshot_sessions, listener.workers;
