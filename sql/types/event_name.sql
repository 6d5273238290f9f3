-- listener.event_name
-- What an event may be called. A domain, since a check of the table would be read from the catalog by every insert.
create domain listener.event_name as text collate "C"
constraint event_name_is_known check (
  value in (
    'generation_queued', 'generation_started', 'generation_completed', 'generation_failed', 'image_stored', 'pack_completed'
  )
);
