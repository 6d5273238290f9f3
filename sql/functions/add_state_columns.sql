-- listener.add_state_columns(table) -> text[]
-- Adds the mapped columns that the table lacks, and returns their names. Rows that are there keep a null status: a default
-- that came with the column would show them as queued.
-- Locks:  the table, which the caller holds.
create function listener.add_state_columns(p_table listener.session_tables)
returns text[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_column record;
  v_added text[] := '{}'::text[];
begin
  for v_column in
    select pair.value as name, ours.name as state, ours.definition
    from listener.state_columns() as ours
    inner join jsonb_each_text(p_table.columns) as pair on ours.name = pair.key
    where not exists (
      select from pg_catalog.pg_attribute as found
      where found.attrelid = p_table.relation and found.attname = pair.value and not found.attisdropped
    )
    order by ours.name
  loop
    execute format('alter table %s add column %I %s', p_table.relation, v_column.name, v_column.definition);
    if v_column.state in ('status', 'updated_at') then
      execute format(
        'alter table %s alter column %I set default %s', p_table.relation, v_column.name,
        case v_column.state when 'status' then '''queued''' else 'now()' end
      );
    end if;
    v_added := v_added || v_column.name;
  end loop;
  return v_added;
end
$$;

revoke all on function listener.add_state_columns(listener.session_tables) from public, anon, authenticated, service_role;
