-- The roles of a Supabase project. Roles belong to the cluster, so several databases meet here: every statement may run again.
-- Source: supabase.com/docs/guides/database/postgres/roles; attributes and memberships as pg_dumpall shows them on a hosted
-- project of PostgreSQL 17; statement timeouts as on hosted projects.
do $$
begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'anon') then
    create role anon nologin;
    alter role anon set statement_timeout = '3s';
  end if;
  if not exists (select from pg_catalog.pg_roles where rolname = 'authenticated') then
    create role authenticated nologin;
    alter role authenticated set statement_timeout = '8s';
  end if;
  if not exists (select from pg_catalog.pg_roles where rolname = 'service_role') then
    create role service_role nologin bypassrls;
  end if;
  if not exists (select from pg_catalog.pg_roles where rolname = 'authenticator') then
    create role authenticator login noinherit;
    grant anon, authenticated, service_role to authenticator;
    alter role authenticator set statement_timeout = '8s';
    alter role authenticator set lock_timeout = '8s';
  end if;
  if not exists (select from pg_catalog.pg_roles where rolname = 'supabase_admin') then
    create role supabase_admin nologin superuser;
  end if;
  if not exists (select from pg_catalog.pg_roles where rolname = 'supabase_auth_admin') then
    create role supabase_auth_admin nologin noinherit createrole;
  end if;
  if not exists (select from pg_catalog.pg_roles where rolname = 'supabase_storage_admin') then
    create role supabase_storage_admin nologin noinherit createrole;
    grant supabase_storage_admin to authenticator;
  end if;
  if not exists (select from pg_catalog.pg_roles where rolname = 'supabase_realtime_admin') then
    create role supabase_realtime_admin nologin noinherit;
  end if;
  if not exists (select from pg_catalog.pg_roles where rolname = 'supabase_functions_admin') then
    create role supabase_functions_admin nologin noinherit createrole;
  end if;
  if not exists (select from pg_catalog.pg_roles where rolname = 'dashboard_user') then
    create role dashboard_user nologin createdb createrole replication;
  end if;
end
$$;

-- The project's owner. No superuser; what a real project lets him do beyond his attributes is granted here.
-- auth and storage: the real server lets him write policies on tables that he does not own (supautils.policy_grants).
-- Membership in their owners does the same; 90_hosted_limits.sql takes away what else it would allow.
do $$
declare
  v_is_new boolean := not exists (select from pg_catalog.pg_roles where rolname = 'postgres');
  v_members text := 'anon, authenticated, service_role, pg_monitor, pg_read_all_data, pg_signal_backend';
  v_owners text := 'supabase_auth_admin, supabase_storage_admin, supabase_realtime_admin, supabase_functions_admin';
begin
  if not v_is_new then
    return;
  end if;
  create role postgres login createdb createrole replication bypassrls;
  alter role postgres set search_path = "$user", public, extensions;
  if current_setting('server_version_num')::integer >= 160000 then
    execute format('grant %s, pg_create_subscription to postgres with admin option', v_members);
    -- Without SET: our authenticator is a member of Storage's owner, too.
    execute 'grant authenticator to postgres with admin true, inherit false, set false';
    execute format('grant %s to postgres with inherit true, set false', v_owners);
  else
    execute format('grant %s, %s to postgres', v_members, v_owners);
  end if;
  -- As supautils.privileged_role_allowed_configs.
  grant set on parameter
    log_lock_waits, log_min_duration_statement, log_min_messages, log_replication_commands, log_statement, log_temp_files,
    session_replication_role, track_io_timing, wal_compression,
    pgrst.db_aggregates_enabled, pgrst.db_extra_search_path, pgrst.db_max_rows, pgrst.db_pre_request, pgrst.db_schemas
  to postgres;
end
$$;

do $$
begin
  execute format('alter database %I owner to postgres', current_database());
end
$$;
