-- listener.publish_table(table)
-- Puts a table into Realtime's publication, unless it is there; after the grants: see schemas/listener.sql.
create function listener.publish_table(p_table listener.session_tables)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_is_published boolean := exists (
    select from pg_catalog.pg_publication_tables as published
    inner join pg_catalog.pg_class as class on published.tablename = class.relname
    inner join pg_catalog.pg_namespace as namespace
      on class.relnamespace = namespace.oid and published.schemaname = namespace.nspname
    where published.pubname = 'supabase_realtime' and class.oid = p_table.relation
  );
begin
  if v_is_published then
    return;
  end if;
  execute format('alter publication supabase_realtime add table %s', p_table.relation);
  update listener.session_tables as known set is_published_here = true where known.id = p_table.id;
end
$$;

revoke all on function listener.publish_table(listener.session_tables) from public, anon, authenticated, service_role;
