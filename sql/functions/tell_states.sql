-- listener.tell_states(relation, new_rows, old_rows)
-- Sends each new state of a session table's rows on the private topic owner:<id>: of rows that arrived as queued where old_rows is
-- null, else of rows whose version is another. A message {"schema", "table", "row", "is_partial"} holds the row's key and state
-- columns under the table's own names, never an input. Realtime drops messages above 256 kB: a large one leaves out result and
-- error_details and says is_partial, and the watcher reads the row.
-- Never fails: what was not sent is a warning, and the watcher reads the row by and by. realtime.send itself may be gone.
create function listener.tell_states(p_relation oid, p_new_rows jsonb[], p_old_rows jsonb[])
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_table record;
begin
  select known.id_column, known.owner_column, known.columns, class.relname, namespace.nspname into v_table
  from listener.session_tables as known
  inner join pg_catalog.pg_class as class on known.relation = class.oid
  inner join pg_catalog.pg_namespace as namespace on class.relnamespace = namespace.oid
  where known.relation = p_relation;
  perform realtime.send(
    jsonb_build_object(
      'schema', v_table.nspname, 'table', v_table.relname, 'is_partial', state.is_large,
      'row', case when state.is_large then state.small_part else state.whole end
    ),
    'session', 'owner:' || (shown.fields ->> v_table.owner_column), true
  )
  from unnest(p_new_rows) as shown (fields)
  left join unnest(p_old_rows) as former (fields)
    on shown.fields -> v_table.id_column = former.fields -> v_table.id_column
  cross join lateral (
    select
      jsonb_object_agg(field.key, field.value) as whole,
      jsonb_object_agg(field.key, field.value)
      filter (where coalesce(pair.key, 'id') not in ('result', 'error_details')) as small_part,
      octet_length(jsonb_object_agg(field.key, field.value)::text) > 200000 as is_large
    from jsonb_each(shown.fields) as field
    left join jsonb_each_text(v_table.columns) as pair on field.key = pair.value
    where pair.key is not null or field.key = v_table.id_column
  ) as state
  where
    case
      when p_old_rows is null then shown.fields ->> (v_table.columns ->> 'status') = 'queued'
      else shown.fields -> (v_table.columns ->> 'version') is distinct from former.fields -> (v_table.columns ->> 'version')
    end;
exception when others then
  raise warning 'listener: no state of % was broadcast: % (%)', p_relation::regclass, sqlerrm, sqlstate;
end
$$;

revoke all on function listener.tell_states(oid, jsonb[], jsonb[]) from public, anon, authenticated, service_role;
