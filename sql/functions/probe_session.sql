-- listener.probe_session(table, row_id) -> uuid
-- A session of a probe row that costs nothing and stands in nobody's way. For the dry run alone, which rolls it back.
create function listener.probe_session(p_table listener.session_tables, p_row_id uuid)
returns uuid
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_owner uuid := gen_random_uuid();
  v_session uuid;
begin
  insert into listener.accounts (owner) values (v_owner);
  insert into listener.sessions as session (
    table_id, row_id, kind, owner, params, cost, start_tag, fair_tag, max_attempts, time_limit_s, request_id
  )
  values (p_table.id, p_row_id, p_table.kind, v_owner, '{}', 0, 0, 0, 100, 300, 'probe')
  returning session.id into v_session;
  insert into listener.artifacts (session, attempt, name, bucket, path, size_bytes, content_type, url)
  values (v_session, 1, 'probe', 'probe', 'probe/probe.png', 1, 'image/png', 'https://probe');
  return v_session;
end
$$;

revoke all on function listener.probe_session(listener.session_tables, uuid) from public, anon, authenticated, service_role;
