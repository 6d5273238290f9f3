-- Every function of the exposed schemas that leads from a row of one table to rows of another.
select
  schema_.nspname::text as schema,
  function_.proname::text as name,
  from_schema.nspname::text as from_schema,
  from_table.relname::text as from_table,
  to_schema.nspname::text as to_schema,
  to_table.relname::text as to_table,
  not function_.proretset or function_.prorows = 1 as is_to_one
from pg_catalog.pg_proc as function_
inner join pg_catalog.pg_namespace as schema_ on schema_.oid = function_.pronamespace
inner join pg_catalog.pg_class as from_table on from_table.reltype = function_.proargtypes[0]
inner join pg_catalog.pg_namespace as from_schema on from_schema.oid = from_table.relnamespace
inner join pg_catalog.pg_class as to_table on to_table.reltype = function_.prorettype
inner join pg_catalog.pg_namespace as to_schema on to_schema.oid = to_table.relnamespace
where function_.prokind = 'f' and function_.pronargs = 1
  and schema_.nspname = any ($1::text[]) and from_schema.nspname = any ($1::text[])
  and to_schema.nspname = any ($1::text[])
order by function_.oid
