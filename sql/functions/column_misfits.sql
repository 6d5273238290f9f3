-- listener.column_misfits(table) -> setof misfit
-- Which columns of a table cannot serve as the owner, or to show a session's state.
create function listener.column_misfits(p_table listener.session_tables)
returns setof listener.misfit
language sql stable security invoker
set search_path = ''
as $$
  with mapped as (
    select pair.key as state, pair.value as name, found.*, type.typtype
    from jsonb_each_text(p_table.columns) as pair
    left join pg_catalog.pg_attribute as found
      on found.attrelid = p_table.relation and found.attname = pair.value and found.attnum > 0 and not found.attisdropped
    left join pg_catalog.pg_type as type on found.atttypid = type.oid
  )

  select 'owner_column_missing', format('There is no column %s.', quote_ident(p_table.owner_column)),
    'Name the column that holds the owner: owner_column => ''user_id''.'
  where not exists (
    select from pg_catalog.pg_attribute as owner
    where owner.attrelid = p_table.relation and owner.attname = p_table.owner_column and not owner.attisdropped
  )
  union all
  select 'owner_column_is_not_uuid',
    format('%I is of type %s.', owner.attname, format_type(owner.atttypid, owner.atttypmod)),
    'An owner is a uuid, as auth.uid() gives it.'
  from pg_catalog.pg_attribute as owner
  where owner.attrelid = p_table.relation and owner.attname = p_table.owner_column and owner.atttypid <> 'uuid'::regtype
  union all
  select 'unknown_state_column', format('%I is no state column of ours.', mapped.state),
    'columns => maps our names: ' || (select string_agg(ours.name, ', ') from listener.state_columns() as ours)
  from mapped
  where mapped.state not in (select ours.name from listener.state_columns() as ours)
  union all
  select 'status_or_version_left_out', format('%s is mapped to nothing.', needed.name),
    'Only the other state columns can be left out.'
  from unnest(array['status', 'version']) as needed (name)
  where not p_table.columns ? needed.name
  union all
  select 'column_used_twice', format('%I would hold %s.', mapped.name, string_agg(mapped.state, ' and ')),
    'Map each state column to a column of its own, apart from the key and the owner.'
  from mapped
  group by mapped.name
  having count(*) > 1 or mapped.name in (p_table.id_column, p_table.owner_column)
  union all
  select 'generated_state_column', format('%I computes its own value, so %s cannot be written.', mapped.name, mapped.state),
    format('Map it to another column: columns => ''{"%s": "..."}''.', mapped.state)
  from mapped
  where mapped.attgenerated <> '' or mapped.attidentity <> ''
  union all
  select 'enum_state_column', format('%I is of the enum %s.', mapped.name, format_type(mapped.atttypid, null)),
    format('alter table %s alter column %I type text using %2$I::text;', p_table.relation, mapped.name)
  from mapped
  where mapped.typtype = 'e'
  union all
  select 'version_may_be_null', format('%I may be null, and null + 1 is null.', mapped.name),
    format('alter table %s alter column %I set default 0, alter column %2$I set not null;', p_table.relation, mapped.name)
  from mapped
  where mapped.state = 'version' and not mapped.attnotnull
$$;

revoke all on function listener.column_misfits(listener.session_tables) from public, anon, authenticated, service_role;
