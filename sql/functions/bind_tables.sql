-- listener.bind_tables()
-- Writes the three functions that touch visible rows, one static branch for each watched table: a statement that is put together
-- at each call is also parsed and planned at each call, which cost a third of a claim. Run whenever the registry changes.
--   hold_visible(table, rows, skip_locked) -> (held, gone)  locks rows by id, for no key update as their update needs;
--                                                           gone is null when all were there
--   take_visible(table, due, now) -> uuid[]                 shows the free ones as processing; their sessions
--   write_visible(table, states) -> uuid[]                  shows states, version + 1 each; the ids of the rows it reached
-- Locks:  the registry, against a second run.
create function listener.bind_tables()
returns void
language plpgsql volatile security invoker
set search_path = ''
as $bind$
declare
  v_hold text;
  v_take text;
  v_write text;
begin
  lock table listener.session_tables in share row exclusive mode;
  select
    string_agg(listener.hold_branch(registry.id, registry.relation, registry.id_column), '' order by registry.id),
    string_agg(
      listener.take_branch(registry.id, registry.relation, registry.id_column, registry.columns), '' order by registry.id
    ),
    string_agg(
      listener.write_branch(registry.id, registry.relation, registry.id_column, registry.columns), '' order by registry.id
    )
  into v_hold, v_take, v_write
  from listener.session_tables as registry
  where exists (select from pg_catalog.pg_class as class where class.oid = registry.relation);

  execute format(
    $function$
    create or replace function listener.hold_visible(
      p_table_id integer, p_rows uuid[], p_skip_locked boolean, out held uuid[], out gone uuid[]
    )
    language plpgsql volatile security invoker set search_path = '' as $body$
    begin
      -- Written by listener.bind_tables.
      case p_table_id when 0 then null; %s end case;
    end
    $body$;

    create or replace function listener.take_visible(p_table_id integer, p_due listener.due_session[], p_now timestamptz)
    returns uuid[] language plpgsql volatile security invoker set search_path = '' as $body$
    declare v_shown uuid[];
    begin
      -- Written by listener.bind_tables.
      case p_table_id when 0 then null; %s end case;
      return coalesce(v_shown, '{}'::uuid[]);
    end
    $body$;

    create or replace function listener.write_visible(p_table_id integer, p_states listener.visible_state[])
    returns uuid[] language plpgsql volatile security invoker set search_path = '' as $body$
    declare v_shown uuid[];
    begin
      -- Written by listener.bind_tables.
      case p_table_id when 0 then null; %s end case;
      return coalesce(v_shown, '{}'::uuid[]);
    end
    $body$
    $function$,
    v_hold, v_take, v_write
  );
  revoke all on function listener.hold_visible(integer, uuid[], boolean) from public, anon, authenticated;
  grant execute on function listener.hold_visible(integer, uuid[], boolean) to service_role;
  revoke all on function listener.take_visible(integer, listener.due_session[], timestamptz) from public, anon, authenticated;
  grant execute on function listener.take_visible(integer, listener.due_session[], timestamptz) to service_role;
  revoke all on function listener.write_visible(integer, listener.visible_state[]) from public, anon, authenticated;
  grant execute on function listener.write_visible(integer, listener.visible_state[]) to service_role;
end
$bind$;

revoke all on function listener.bind_tables() from public, anon, authenticated, service_role;
