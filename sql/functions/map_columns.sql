-- listener.map_columns(columns) -> jsonb
-- Our names of the state columns with the table's own: as given, else the same; what is given as null is left out.
create function listener.map_columns(p_columns jsonb)
returns jsonb
language sql immutable security invoker
set search_path = ''
as $$
  select jsonb_strip_nulls((select jsonb_object_agg(ours.name, ours.name) from listener.state_columns() as ours) || p_columns)
$$;

revoke all on function listener.map_columns(jsonb) from public, anon, authenticated, service_role;
