-- public.survey_project() -> jsonb
-- What `listener check` asks of the database; changes nothing. Answers {"role", "now", "schema_version", "oldest_worker",
-- "not_granted", "open_to_strangers", "publication", "shut_out", "tables", "buckets"}:
-- not_granted: worker functions that service_role may not execute, or that are not there; open_to_strangers: those that
-- signed-in users or anon may. shut_out: roles that may read a published table without USAGE on its schema, which silences
-- Realtime for the whole project. buckets: those that kinds store in.
create function public.survey_project()
returns jsonb
language sql stable security invoker
set search_path = ''
as $$
  with doors as (
    select wanted.name, routine.oid
    from unnest(
      array[
        'register_worker', 'heartbeat', 'claim_sessions', 'report_progress', 'add_artifacts', 'complete_sessions',
        'fail_sessions', 'cancel_sessions', 'retry_sessions', 'release_sessions', 'sweep_sessions', 'acquire_permits'
      ]
    ) as wanted (name)
    left join pg_catalog.pg_proc as routine
      on wanted.name = routine.proname and routine.pronamespace = 'public'::regnamespace
  ),

  published as (
    -- By oid: a name may lie in a schema that the caller may not use, and that is what is looked for.
    select class.oid::regclass as relation, one.schemaname
    from pg_catalog.pg_publication_tables as one
    inner join pg_catalog.pg_namespace as namespace on one.schemaname = namespace.nspname
    inner join pg_catalog.pg_class as class on namespace.oid = class.relnamespace and one.tablename = class.relname
    where one.pubname = 'supabase_realtime'
  )

  select jsonb_build_object(
    'role', current_user,
    'now', clock_timestamp(),
    'schema_version', listener.schema_version(),
    'oldest_worker', listener.oldest_worker(),
    'not_granted', (
      select coalesce(jsonb_agg(distinct doors.name), '[]')
      from doors
      where doors.oid is null or not has_function_privilege('service_role', doors.oid, 'execute')
    ),
    'open_to_strangers', (
      select coalesce(jsonb_agg(distinct doors.name), '[]')
      from doors
      cross join unnest(array['anon', 'authenticated']) as stranger (name)
      where has_function_privilege(stranger.name, doors.oid, 'execute')
    ),
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
              'table', watched.relation::text, 'kind', watched.kind, 'broken', watched.broken_reason,
              'is_published', exists (select from published where published.relation = watched.relation)
            )
            order by watched.id
          ),
          '[]'
        )
      from listener.session_tables as watched
    ),
    'buckets', (select coalesce(jsonb_agg(distinct kinds.bucket order by kinds.bucket), '[]') from listener.kinds as kinds)
  )
$$;

revoke all on function public.survey_project() from public, anon, authenticated;
grant execute on function public.survey_project() to service_role;
