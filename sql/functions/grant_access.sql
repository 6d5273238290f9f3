-- listener.grant_access(table, grant_select, insert_columns)
-- Workers may write the table. Users who are held apart by row level security may read it and insert the input columns (or
-- insert_columns); rows open to everybody are left to the app. An insert right on the whole table stays: the reset trigger
-- stands before the state columns. Rights to update are narrowed to inputs; see narrow_updates.
-- USAGE stands before SELECT, and both before the publication: see schemas/listener.sql.
-- Raises: 55000 insert_column_is_state.
create function listener.grant_access(p_table listener.session_tables, p_grant_select boolean, p_insert_columns text[])
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_schema regnamespace;
  v_is_secured boolean;
  v_columns text;
begin
  select class.relnamespace, class.relrowsecurity into strict v_schema, v_is_secured
  from pg_catalog.pg_class as class
  where class.oid = p_table.relation;
  select string_agg(format('%I', given.name), ', ') into v_columns
  from unnest(coalesce(p_insert_columns, listener.input_columns(p_table))) as given (name);
  perform listener.refuse_table(p_table.relation, array(
    select row('insert_column_is_state', format('%I shows the state.', given.name), 'Leave it out of insert_columns.')::listener.misfit
    from unnest(p_insert_columns) as given (name)
    where given.name in (select pair.value from jsonb_each_text(p_table.columns) as pair)
  ));

  execute format('grant usage on schema %s to service_role', v_schema);
  execute format('grant select, insert, update, delete on table %s to service_role', p_table.relation);
  if v_is_secured and p_grant_select then
    execute format('grant select on table %s to authenticated', p_table.relation);
  end if;
  if v_is_secured and v_columns is not null then
    execute format('grant insert (%s) on table %s to authenticated', v_columns, p_table.relation);
  end if;
  perform listener.narrow_updates(p_table);
end
$$;

revoke all on function listener.grant_access(listener.session_tables, boolean, text[])
from public, anon, authenticated, service_role;
