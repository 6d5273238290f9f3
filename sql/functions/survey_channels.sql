-- listener.survey_channels() -> jsonb
-- Whether Realtime can tell of sessions. Answers {"publication", "canary", "shut_out", "tables"}: shut_out are roles that may
-- read a published table without USAGE on its schema, which silences Realtime for the whole project.
create function listener.survey_channels()
returns jsonb
language sql stable security invoker
set search_path = ''
as $$
  with published as (
    -- By oid: a name may lie in a schema that the caller may not use, and that is what is looked for.
    select class.oid::regclass as relation, one.schemaname
    from pg_catalog.pg_publication_tables as one
    inner join pg_catalog.pg_namespace as namespace on one.schemaname = namespace.nspname
    inner join pg_catalog.pg_class as class on namespace.oid = class.relnamespace and one.tablename = class.relname
    where one.pubname = 'supabase_realtime'
  )

  select jsonb_build_object(
    'publication', exists (select from pg_catalog.pg_publication where pubname = 'supabase_realtime'),
    'canary', exists (select from published where published.relation = 'listener.workers'::regclass),
    'shut_out', (
      select coalesce(jsonb_agg(jsonb_build_object('role', role.rolname, 'table', published.relation::text)), '[]')
      from published
      inner join pg_catalog.pg_roles as role on not role.rolsuper
      where
        not has_schema_privilege(role.oid, published.schemaname, 'usage')
        and has_any_column_privilege(role.oid, published.relation, 'select')
    ),
    'tables', (
      select
        coalesce(
          jsonb_agg(
            jsonb_build_object(
              'table', watched.relation::text, 'kind', watched.kind, 'broken', listener.fault_of_table(watched),
              'is_published', exists (select from published where published.relation = watched.relation)
            )
            order by watched.id
          ),
          '[]'
        )
      from listener.session_tables as watched
    )
  )
$$;

revoke all on function listener.survey_channels() from public, anon, authenticated;
grant execute on function listener.survey_channels() to service_role;
