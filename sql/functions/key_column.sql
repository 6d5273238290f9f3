-- listener.key_column(relation) -> text
-- The first column of a table's primary key; null without one.
create function listener.key_column(p_relation regclass)
returns text
language sql stable security invoker
set search_path = ''
as $$
  select id.attname::text
  from pg_catalog.pg_constraint as pk
  inner join pg_catalog.pg_attribute as id on id.attrelid = pk.conrelid and id.attnum = pk.conkey[1]
  where pk.conrelid = p_relation and pk.contype = 'p'
$$;

revoke all on function listener.key_column(regclass) from public, anon, authenticated, service_role;
