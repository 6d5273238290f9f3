-- listener.mark_broken(table, reason)
-- Takes a visible table out of service until it is mended: its sessions are not claimed and its rows not written.
create function listener.mark_broken(p_table_id integer, p_reason text)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  update listener.session_tables as registry
  set broken_at = listener.clock(), broken_reason = p_reason
  where registry.id = p_table_id and registry.broken_at is null;
  raise warning 'session table % is broken: %', p_table_id, p_reason;
end
$$;

revoke all on function listener.mark_broken(integer, text) from public, anon, authenticated;
grant execute on function listener.mark_broken(integer, text) to service_role;
