-- listener.strip_table(table)
-- Takes the triggers from a table that watch or set_broadcasts gave it, and the place in the publication if watch gave it that.
-- Locks:  the table, which the caller holds.
create function listener.strip_table(p_table listener.session_tables)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_trigger text;
begin
  foreach v_trigger in array array[
    'zz_listener_reset', 'listener_register', 'listener_withdraw', 'listener_refuse_truncate', 'listener_broadcast_insert',
    'listener_broadcast_update'
  ]
  loop
    execute format('drop trigger if exists %I on %s', v_trigger, p_table.relation);
  end loop;
  if p_table.is_published_here and exists (
    select from pg_catalog.pg_publication_rel as published
    inner join pg_catalog.pg_publication as publication on published.prpubid = publication.oid
    where publication.pubname = 'supabase_realtime' and published.prrelid = p_table.relation
  ) then
    execute format('alter publication supabase_realtime drop table %s', p_table.relation);
  end if;
end
$$;

revoke all on function listener.strip_table(listener.session_tables) from public, anon, authenticated, service_role;
