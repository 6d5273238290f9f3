-- publication supabase_realtime
-- The workers' canary, and the images of packs; listener.watch adds the session tables. Last, after schema usage and column grants: see
-- schemas/listener.sql.
alter publication supabase_realtime add table listener.workers, public.character_images;
