-- listener.loosen_table(table)
-- Takes from a table what a probe row need not keep: foreign keys, checks and NOT NULL that touch no state column, and unique
-- constraints apart from the key. For the dry run alone, which rolls it back.
-- Locks:  the table, which the caller holds.
create function listener.loosen_table(p_table listener.session_tables)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_names text;
  v_state smallint[] := array(
    select state.attnum
    from pg_catalog.pg_attribute as state
    inner join jsonb_each_text(p_table.columns) as pair on state.attname = pair.value
    where state.attrelid = p_table.relation
  );
begin
  select string_agg(format('drop constraint %I cascade', ours.conname), ', ') into v_names
  from pg_catalog.pg_constraint as ours
  where
    ours.conrelid = p_table.relation
    and (ours.contype in ('f', 'u', 'x') or (ours.contype = 'c' and not coalesce(ours.conkey && v_state, false)));
  if v_names is not null then
    execute format('alter table %s %s', p_table.relation, v_names);
  end if;

  select string_agg(index.indexrelid::regclass::text, ', ') into v_names
  from pg_catalog.pg_index as index
  where index.indrelid = p_table.relation and index.indisunique and not index.indisprimary;
  if v_names is not null then
    execute format('drop index %s cascade', v_names);
  end if;

  select string_agg(format('alter column %I drop not null', field.attname), ', ') into v_names
  from pg_catalog.pg_attribute as field
  where
    field.attrelid = p_table.relation and field.attnum > 0 and field.attnotnull and field.attidentity = ''
    and not field.attnum = any(v_state) and field.attname <> p_table.id_column;
  if v_names is not null then
    execute format('alter table %s %s', p_table.relation, v_names);
  end if;
end
$$;

revoke all on function listener.loosen_table(listener.session_tables) from public, anon, authenticated, service_role;
