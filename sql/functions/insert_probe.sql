-- listener.insert_probe(table, id, is_copy) -> text
-- Inserts a row whose state columns have their defaults: bare, or with the inputs of an existing row. Returns why it could not;
-- also when the row does not stand at queued then, for no session would ever come of it.
create function listener.insert_probe(p_table listener.session_tables, p_id uuid, p_is_copy boolean)
returns text
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_like jsonb;
  v_status text;
  v_columns text;
begin
  if p_is_copy then
    execute format('select to_jsonb(visible) from %s as visible where %I <> $1 limit 1', p_table.relation, p_table.id_column)
    into v_like using p_id;
  end if;
  if v_like is null then
    execute format('insert into %s (%I) values ($1)', p_table.relation, p_table.id_column) using p_id;
  else
    select string_agg(format('%I', input.name), ', ') into v_columns
    from unnest(listener.input_columns(p_table)) as input (name);
    execute format(
      'insert into %1$s (%2$s) overriding system value select %2$s from jsonb_populate_record(null::%1$s, $1)',
      p_table.relation, v_columns
    ) using v_like || jsonb_build_object(p_table.id_column, p_id);
  end if;
  execute format(
    'select to_jsonb(visible) ->> %L from %s as visible where visible.%I = $1',
    p_table.columns ->> 'status', p_table.relation, p_table.id_column
  ) into v_status using p_id;
  return case when v_status is distinct from 'queued' then format(
    'A row that says nothing of its status arrives as %L, not as ''queued''; sessions begin as ''queued'': set that default.', v_status
  ) end;
exception when others then
  return format('queued: %s', sqlerrm);
end
$$;

revoke all on function listener.insert_probe(listener.session_tables, uuid, boolean)
from public, anon, authenticated, service_role;
