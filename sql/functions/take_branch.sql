-- listener.take_branch(table, relation, id_column, columns) -> text
-- One watched table's branch of listener.take_visible: what a claim shows is the same for every session.
create function listener.take_branch(p_table_id integer, p_relation regclass, p_id_column text, p_columns jsonb)
returns text
language sql stable security invoker
set search_path = ''
as $$
  select format(
    $branch$
    when %1$s then
      with free as (
        select visible.%3$I as id, due.session
        from unnest(p_due) as due
        inner join %2$s as visible on due.row_id = visible.%3$I
        where due.table_id = %1$s
        for no key update of visible skip locked
      ),
      shown as (
        update %2$s as visible
        set %4$s, %5$I = visible.%5$I + 1
        from free
        where visible.%3$I = free.id
        returning free.session
      )
      select array_agg(shown.session) into v_shown from shown;
    $branch$,
    p_table_id, p_relation, p_id_column,
    (
      select string_agg(
        format(
          '%I = %s', pair.value,
          case pair.key
            when 'status' then '''processing'''
            when 'progress' then '0'
            when 'started_at' then 'p_now'
            when 'updated_at' then 'p_now'
            else 'null'
          end
        ),
        ', ' order by pair.key
      )
      from jsonb_each_text(p_columns) as pair
      where pair.key <> 'version'
    ),
    p_columns ->> 'version'
  )
$$;

revoke all on function listener.take_branch(integer, regclass, text, jsonb) from public, anon, authenticated, service_role;
