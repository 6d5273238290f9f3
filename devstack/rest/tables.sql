-- The columns of every table and view in the exposed schemas; one row without a name where there are none.
-- Runs with an empty search_path, so that every type and default is written with its schema.
select
  schema_.nspname::text as schema,
  relation.relname::text as relation,
  -- As bits: 4 update, 8 insert, 16 delete; triggers count, too.
  pg_relation_is_updatable(relation.oid, true) as writable,
  column_.attname::text as name,
  format_type(column_.atttypid, column_.atttypmod) as type,
  -- A filter's value is no domain's: it need not keep its checks.
  format_type(coalesce(nullif(kind.typbasetype, 0), column_.atttypid), -1) as plain_type,
  case
    when column_.attidentity::text <> '' then
      format('nextval(%L::regclass)', pg_get_serial_sequence(format('%I.%I', schema_.nspname, relation.relname), column_.attname))
    when column_.attgenerated::text = '' then pg_get_expr(default_.adbin, default_.adrelid)
  end as value,
  coalesce(column_.attnum = any (key_.conkey), false) as is_key
from pg_catalog.pg_class as relation
inner join pg_catalog.pg_namespace as schema_ on schema_.oid = relation.relnamespace
left join pg_catalog.pg_attribute as column_
  on column_.attrelid = relation.oid and column_.attnum > 0 and not column_.attisdropped
left join pg_catalog.pg_type as kind on kind.oid = column_.atttypid
left join pg_catalog.pg_attrdef as default_ on default_.adrelid = relation.oid and default_.adnum = column_.attnum
left join pg_catalog.pg_constraint as key_ on key_.conrelid = relation.oid and key_.contype = 'p'
where schema_.nspname = any ($1::text[]) and relation.relkind in ('r', 'v', 'm', 'f', 'p')
  and not relation.relispartition
order by schema_.nspname, relation.relname, column_.attnum
