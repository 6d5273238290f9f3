-- public.owned_tables() -> jsonb
-- The visible tables as an HTTP server needs them that inserts for their owners: [{"schema", "table", "kind", "id_column",
-- "owner_column", "columns", "inputs"}]. columns maps our names of the state columns to the table's; inputs are the columns that
-- are the owner's to give. Broken tables are left out.
create function public.owned_tables()
returns jsonb
language sql stable security invoker
set search_path = ''
as $$
  select coalesce(
    jsonb_agg(
      jsonb_build_object(
        'schema', namespace.nspname, 'table', class.relname, 'kind', registry.kind, 'id_column', registry.id_column,
        'owner_column', registry.owner_column, 'columns', registry.columns, 'inputs', listener.input_columns(registry)
      )
      order by registry.id
    ),
    '[]'
  )
  from listener.session_tables as registry
  inner join pg_catalog.pg_class as class on registry.relation = class.oid
  inner join pg_catalog.pg_namespace as namespace on class.relnamespace = namespace.oid
  where registry.broken_at is null
$$;

revoke all on function public.owned_tables() from public, anon, authenticated;
grant execute on function public.owned_tables() to service_role;
