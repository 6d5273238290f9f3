-- listener.visible_state
-- What a visible row shows of its session, under our own column names: the argument of listener.write_visible.
create type listener.visible_state as (
  row_id uuid,
  status text,
  progress integer,
  message text,
  error_code text,
  error_message text,
  error_details jsonb,
  result jsonb,
  started_at timestamptz,
  finished_at timestamptz,
  updated_at timestamptz
);
