-- listener.hold_branch(table, relation, id_column) -> text
-- One watched table's branch of listener.hold_visible.
create function listener.hold_branch(p_table_id integer, p_relation regclass, p_id_column text)
returns text
language sql stable security invoker
set search_path = ''
as $$
  select format(
    $branch$
    when %1$s then
      if p_skip_locked then
        held := array(
          select visible.%3$I from %2$s as visible where visible.%3$I = any(p_rows) order by visible.%3$I
          for no key update skip locked
        );
      else
        held := array(
          select visible.%3$I from %2$s as visible where visible.%3$I = any(p_rows) order by visible.%3$I
          for no key update
        );
      end if;
      if cardinality(held) < cardinality(p_rows) then
        gone := array(
          select given.id from unnest(p_rows) as given (id)
          where not exists (select from %2$s as visible where visible.%3$I = given.id)
        );
      end if;
    $branch$,
    p_table_id, p_relation, p_id_column
  )
$$;

revoke all on function listener.hold_branch(integer, regclass, text) from public, anon, authenticated, service_role;
