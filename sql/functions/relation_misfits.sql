-- listener.relation_misfits(table) -> setof misfit
-- What about the relation itself and its key cannot be watched.
create function listener.relation_misfits(p_table listener.session_tables)
returns setof listener.misfit
language sql stable security invoker
set search_path = ''
as $$
  select misfit.name, misfit.detail, misfit.hint
  from pg_catalog.pg_class as class
  inner join pg_catalog.pg_namespace as namespace on class.relnamespace = namespace.oid
  left join pg_catalog.pg_constraint as pk on pk.conrelid = class.oid and pk.contype = 'p'
  left join pg_catalog.pg_attribute as id on id.attrelid = class.oid and id.attnum = pk.conkey[1]
  cross join lateral (
    values
      (class.relkind not in ('r', 'p'), 'not_a_table', 'It is a view, a foreign table or no table at all.',
        'Watch the table behind it.'),
      (class.relkind = 'p' or class.relispartition, 'partitioned_table',
        'It is partitioned, or a partition: its triggers would see the partition in place of the table.',
        'Keep the session rows in an ordinary table.'),
      (not class.relispartition and exists (
          select from pg_catalog.pg_inherits as inherits where class.oid in (inherits.inhrelid, inherits.inhparent)
        ), 'inherited_table', 'It inherits from a table, or a table inherits from it.',
        'Keep the session rows in a table of their own.'),
      (class.relpersistence <> 'p', 'table_is_not_permanent',
        'It is temporary or unlogged: its rows are not replicated, so nobody would hear of them.',
        'Use a permanent, logged table.'),
      (namespace.nspname in ('listener', 'information_schema') or namespace.nspname like 'pg\_%', 'reserved_schema',
        format('The schema %I is not the app''s.', namespace.nspname), 'Watch a table of the app''s own schema.'),
      (not pg_has_role(current_user, class.relowner, 'usage'), 'not_the_owner',
        format('The table belongs to %I, not to %I.', pg_get_userbyid(class.relowner), current_user),
        'Watch it as its owner, or as a member of that role.'),
      (exists (select from listener.session_tables as known where known.relation = class.oid), 'already_watched',
        'The table is watched.', 'Call listener.unwatch first, or listener.mend when it is broken.'),
      (exists (select from pg_catalog.pg_rewrite as rule where rule.ev_class = class.oid) and class.relkind = 'r',
        'table_with_rules', 'Rules rewrite what is written to it.', 'Drop the rules; use triggers.'),
      (class.relkind = 'r' and pk.oid is null, 'no_primary_key', 'It has no primary key.',
        'Add one: id uuid primary key default gen_random_uuid().'),
      (cardinality(pk.conkey) > 1, 'composite_primary_key', 'Its primary key has several columns.',
        'A session is named by one uuid: make that the primary key and the rest a unique constraint.'),
      (cardinality(pk.conkey) = 1 and id.atttypid <> 'uuid'::regtype, 'primary_key_is_not_uuid',
        format('Its primary key %s is of type %s.', quote_ident(id.attname), format_type(id.atttypid, id.atttypmod)),
        'Make a uuid column the primary key.'),
      (cardinality(pk.conkey) = 1 and id.attname <> p_table.id_column, 'id_column_is_not_the_key',
        format('The primary key is %s, not %s.', quote_ident(id.attname), quote_ident(p_table.id_column)), 'Leave id_column out.')
  ) as misfit (applies, name, detail, hint)
  where class.oid = p_table.relation and misfit.applies
$$;

revoke all on function listener.relation_misfits(listener.session_tables) from public, anon, authenticated, service_role;
