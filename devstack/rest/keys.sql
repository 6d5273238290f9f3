-- Every foreign key between tables of the exposed schemas, and whether its columns are also a key of their own table.
select
  key_.conname::text as name,
  from_schema.nspname::text as from_schema,
  from_table.relname::text as from_table,
  array(
    select column_.attname::text
    from unnest(key_.conkey) with ordinality as part (number, position)
    inner join pg_catalog.pg_attribute as column_ on column_.attrelid = key_.conrelid and column_.attnum = part.number
    order by part.position
  ) as from_columns,
  to_schema.nspname::text as to_schema,
  to_table.relname::text as to_table,
  array(
    select column_.attname::text
    from unnest(key_.confkey) with ordinality as part (number, position)
    inner join pg_catalog.pg_attribute as column_ on column_.attrelid = key_.confrelid and column_.attnum = part.number
    order by part.position
  ) as to_columns,
  exists (
    select from pg_catalog.pg_constraint as own
    where own.conrelid = key_.conrelid and own.contype in ('p', 'u')
      and own.conkey @> key_.conkey and own.conkey <@ key_.conkey
  ) as is_unique
from pg_catalog.pg_constraint as key_
inner join pg_catalog.pg_class as from_table on from_table.oid = key_.conrelid
inner join pg_catalog.pg_namespace as from_schema on from_schema.oid = from_table.relnamespace
inner join pg_catalog.pg_class as to_table on to_table.oid = key_.confrelid
inner join pg_catalog.pg_namespace as to_schema on to_schema.oid = to_table.relnamespace
where key_.contype = 'f' and key_.conparentid = 0
  and from_schema.nspname = any ($1::text[]) and to_schema.nspname = any ($1::text[])
order by key_.conname, key_.oid
