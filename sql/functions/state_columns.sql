-- listener.state_columns() -> (name, definition, starts_as)
-- The columns by which a visible row tells its state: the definition that watch gives to a missing one, and the value that an
-- arriving row gets (null: updated_at, which keeps what the table gives it). Rows that were there before stay without a status.
create function listener.state_columns()
returns table (name text, definition text, starts_as jsonb)
language sql immutable security invoker
set search_path = ''
as $$
  values
    ('status', 'text', '"queued"'::jsonb),
    ('progress', 'integer not null default 0', '0'),
    ('message', 'text', 'null'),
    ('error_code', 'text', 'null'),
    ('error_message', 'text', 'null'),
    ('error_details', 'jsonb', 'null'),
    ('result', 'jsonb', 'null'),
    ('version', 'bigint not null default 0', '0'),
    ('started_at', 'timestamptz', 'null'),
    ('finished_at', 'timestamptz', 'null'),
    ('updated_at', 'timestamptz', null)
$$;

revoke all on function listener.state_columns() from public, anon, authenticated, service_role;
