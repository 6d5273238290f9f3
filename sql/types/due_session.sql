-- listener.due_session
-- A queued session that a claim has locked: what it needs to know of it without reading it again.
create type listener.due_session as (
  session uuid,
  table_id integer,
  row_id uuid,
  kind text,
  work double precision,
  start_tag double precision,
  fair_tag double precision,
  seq bigint
);
