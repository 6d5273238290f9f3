-- listener.survey_doors() -> jsonb
-- Who may call the workers' functions. Answers {"not_granted", "open_to_strangers"}: those that service_role may not execute
-- or that are not there, and those that signed-in users or anon may.
create function listener.survey_doors()
returns jsonb
language sql stable security invoker
set search_path = ''
as $$
  with doors as (
    select wanted.name, routine.oid
    from unnest(
      array[
        'register_worker', 'heartbeat', 'claim_sessions', 'report_progress', 'add_artifacts', 'complete_sessions',
        'fail_sessions', 'cancel_sessions', 'retry_sessions', 'release_sessions', 'sweep_sessions', 'acquire_permits',
        'requested_cancels',
        'authenticate_api_key', 'claim_deliveries', 'settle_deliveries', 'owned_tables', 'owner_credits', 'cancel_owner_session',
        'expired_artifacts', 'orphaned_objects', 'orphaned_elsewhere', 'forget_artifacts'
      ]
    ) as wanted (name)
    left join pg_catalog.pg_proc as routine
      on wanted.name = routine.proname and routine.pronamespace = 'public'::regnamespace
  )

  select jsonb_build_object(
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
    )
  )
$$;

revoke all on function listener.survey_doors() from public, anon, authenticated;
grant execute on function listener.survey_doors() to service_role;
