-- listener.state_message(table, row) -> jsonb
-- What a watcher is told of a row: its key and state columns under the table's own names, never an input. Realtime drops messages
-- above 256 kB, so a large one leaves out result and error_details and says is_partial: the watcher reads the row then.
-- Answers {"schema", "table", "row", "is_partial"}.
create function listener.state_message(p_table listener.session_tables, p_row jsonb)
returns jsonb
language sql stable security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'schema', namespace.nspname, 'table', class.relname, 'is_partial', state.is_large,
    'row', case when state.is_large then state.small_part else state.whole end
  )
  from (
    select
      jsonb_object_agg(field.key, field.value) as whole,
      jsonb_object_agg(field.key, field.value)
      filter (where coalesce(pair.key, 'id') not in ('result', 'error_details')) as small_part,
      octet_length(jsonb_object_agg(field.key, field.value)::text) > 200000 as is_large
    from jsonb_each(p_row) as field
    left join jsonb_each_text(p_table.columns) as pair on field.key = pair.value
    where pair.key is not null or field.key = p_table.id_column
  ) as state
  inner join pg_catalog.pg_class as class on class.oid = p_table.relation
  inner join pg_catalog.pg_namespace as namespace on class.relnamespace = namespace.oid
$$;

revoke all on function listener.state_message(listener.session_tables, jsonb) from public, anon, authenticated, service_role;
