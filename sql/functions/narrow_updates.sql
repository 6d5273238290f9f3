-- listener.narrow_updates(table)
-- Users keep what rights they have to update inputs, and lose them for state, key and owner: who renames a running row would
-- have the image and the refund.
-- Raises: 55000 users_can_write_state when they still may, by a way that is not the owner's to close.
create function listener.narrow_updates(p_table listener.session_tables)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_role text;
  v_columns text;
  v_inputs text[] := array(
    select input.name from unnest(listener.input_columns(p_table)) as input (name)
    where input.name not in (p_table.id_column, p_table.owner_column)
  );
begin
  foreach v_role in array array['public', 'anon', 'authenticated'] loop
    select string_agg(format('%I', input.attname), ', ') filter (where input.attname = any(v_inputs)) into v_columns
    from listener.update_rights(p_table.relation) as input
    where input.role = v_role;
    execute format('revoke update on table %s from %s', p_table.relation, v_role);
    if v_columns is not null then
      execute format('grant update (%s) on table %s to %s', v_columns, p_table.relation, v_role);
    end if;
  end loop;
  perform listener.refuse_table(p_table.relation, array(
    select row(
      'users_can_write_state', format('%I may update %I.', role.name, state.attname),
      'Revoke that right where it comes from: another grantor, or a role that it is a member of.'
    )::listener.misfit
    from unnest(array['anon', 'authenticated']) as role (name)
    cross join pg_catalog.pg_attribute as state
    where
      state.attrelid = p_table.relation and state.attnum > 0 and not state.attisdropped
      and not state.attname = any(v_inputs) and has_column_privilege(role.name, state.attrelid, state.attnum, 'update')
  ));
end
$$;

revoke all on function listener.narrow_updates(listener.session_tables) from public, anon, authenticated, service_role;
