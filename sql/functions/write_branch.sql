-- listener.write_branch(table, relation, id_column, columns) -> text
-- One watched table's branch of listener.write_visible: every state column that the table has, and its version.
create function listener.write_branch(p_table_id integer, p_relation regclass, p_id_column text, p_columns jsonb)
returns text
language sql stable security invoker
set search_path = ''
as $$
  select format(
    $branch$
    when %1$s then
      with shown as (
        update %2$s as visible
        set %4$s, %5$I = visible.%5$I + 1
        from unnest(p_states) as state
        where visible.%3$I = state.row_id
        returning state.row_id
      )
      select array_agg(shown.row_id) into v_shown from shown;
    $branch$,
    p_table_id, p_relation, p_id_column,
    (
      select string_agg(format('%I = state.%I', pair.value, pair.key), ', ' order by pair.key)
      from jsonb_each_text(p_columns) as pair
      where pair.key <> 'version'
    ),
    p_columns ->> 'version'
  )
$$;

revoke all on function listener.write_branch(integer, regclass, text, jsonb) from public, anon, authenticated, service_role;
