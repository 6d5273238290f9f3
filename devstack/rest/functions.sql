-- Every function of the exposed schemas that can be called: its inputs, and the columns of what it returns where that
-- is composite.
-- Runs with an empty search_path, so that every type is written with its schema.
with overloads as (
  select
    function_.*,
    schema_.nspname::text as schema,
    coalesce(function_.proallargtypes, function_.proargtypes::oid[]) as all_types,
    coalesce(function_.proargmodes::text[], array_fill('i'::text, array[function_.pronargs::int])) as modes,
    returned.typtype::text as returned_kind,
    returned.typrelid,
    home.nspname::text as row_schema,
    row_.relname::text as row_table
  from pg_catalog.pg_proc as function_
  inner join pg_catalog.pg_namespace as schema_ on schema_.oid = function_.pronamespace
  inner join pg_catalog.pg_type as returned on returned.oid = function_.prorettype
  left join pg_catalog.pg_class as row_ on row_.oid = returned.typrelid and row_.relkind in ('r', 'v', 'm', 'f', 'p')
  left join pg_catalog.pg_namespace as home on home.oid = row_.relnamespace
  where schema_.nspname = any ($1::text[]) and function_.prokind = 'f'
    and function_.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
)

select
  overload.schema,
  overload.proname::text as name,
  overload.row_schema,
  overload.row_table,
  overload.pronargs::int as arguments,
  overload.pronargdefaults::int as defaults,
  overload.provariadic <> 0 as variadic,
  overload.proretset as is_set,
  overload.prorettype = 'void'::regtype as is_void,
  (
    select substr(entry, strpos(entry, '=') + 1) from unnest(overload.proconfig) as entry
    where entry like 'statement\_timeout=%'
  ) as time_limit,
  overload.provolatile::text = 'v' as is_volatile,
  overload.returned_kind = 'c' or overload.modes && array['t', 'b', 'o'] as is_composite,
  array(
    select coalesce(overload.proargnames[position], '')
    from generate_subscripts(overload.modes, 1) as position
    where overload.modes[position] in ('i', 'b', 'v')
    order by position
  ) as names,
  array(
    select format_type(type_id, -1)
    from unnest(overload.proargtypes::oid[]) with ordinality as input (type_id, position)
    order by position
  ) as types,
  coalesce(nullif(array(
    select overload.proargnames[position]
    from generate_subscripts(overload.modes, 1) as position
    where overload.modes[position] in ('t', 'b', 'o')
    order by position
  ), '{}'), array(
    select column_.attname::text from pg_catalog.pg_attribute as column_
    where column_.attrelid = overload.typrelid and column_.attnum > 0 and not column_.attisdropped
    order by column_.attnum
  )) as out_names,
  coalesce(nullif(array(
    select format_type(overload.all_types[position], -1)
    from generate_subscripts(overload.modes, 1) as position
    where overload.modes[position] in ('t', 'b', 'o')
    order by position
  ), '{}'), array(
    select format_type(column_.atttypid, -1) from pg_catalog.pg_attribute as column_
    where column_.attrelid = overload.typrelid and column_.attnum > 0 and not column_.attisdropped
    order by column_.attnum
  )) as out_types
from overloads as overload
order by overload.oid
