-- listener.served_tables(kinds) -> jsonb
-- The visible tables that a worker of these kinds listens to: [{"schema", "table", "kind"}]. Broken ones are left out,
-- since one bad binding silences all bindings of its channel.
create function listener.served_tables(p_kinds text[])
returns jsonb
language sql stable security invoker
set search_path = ''
as $$
  select coalesce(
    jsonb_agg(
      jsonb_build_object('schema', namespace.nspname, 'table', class.relname, 'kind', registry.kind) order by registry.id
    ),
    '[]'
  )
  from listener.session_tables as registry
  inner join pg_catalog.pg_class as class on registry.relation = class.oid
  inner join pg_catalog.pg_namespace as namespace on class.relnamespace = namespace.oid
  where registry.kind = any(p_kinds) and registry.broken_at is null
$$;

revoke all on function listener.served_tables(text[]) from public, anon, authenticated;
grant execute on function listener.served_tables(text[]) to service_role;
