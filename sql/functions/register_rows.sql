-- listener.register_rows(relation, rows, is_limited) -> integer
-- Records a session for each of these rows of a session table that stands at queued, and charges its owner: all of them or none.
-- Returns how many. Their order is the order in which they queue. Rate limits (is_limited) are for rows that somebody inserts, not
-- for those that were there when the table was adopted.
-- Locks:  accounts, ascending owner.
-- Raises: 23514 when no worker could read a row; 23502 when a row has no owner; PT402 credits_insufficient; PGRST with status 429;
--         23505 when a row's id was a session of this table before; 55000 when the table has lost its status column.
create function listener.register_rows(p_relation oid, p_rows jsonb[], p_is_limited boolean default false)
returns integer
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_table listener.session_tables;
  v_rows jsonb[];
  v_owners uuid[];
  v_sessions uuid[];
begin
  select registry.*
  into strict v_table
  from listener.session_tables as registry
  where registry.relation = p_relation;
  v_rows := array(
    select arriving.fields
    from unnest(p_rows) with ordinality as arriving (fields, ordinal)
    where arriving.fields ->> (v_table.columns ->> 'status') = 'queued'
    order by arriving.ordinal
  );
  if cardinality(v_rows) = 0 then
    if exists (select from unnest(p_rows) as arriving where not arriving ? (v_table.columns ->> 'status')) then
      raise exception 'session_table_without_status' using
        errcode = '55000',
        detail = format('%s has no column %s, so nobody can say which rows are sessions.', v_table.relation, v_table.columns ->> 'status'),
        hint = 'Give it back its name, or map the new one: listener.mend.';
    end if;
    return 0;
  end if;
  perform listener.refuse_unreadable(v_rows);
  v_owners := array(select (arriving ->> v_table.owner_column)::uuid from unnest(v_rows) as arriving);
  if array_position(v_owners, null) is not null then
    raise exception 'a queued row needs an owner' using errcode = '23502', column = v_table.owner_column;
  end if;
  perform listener.open_accounts(v_owners);
  if p_is_limited then
    perform listener.check_rates(v_owners);
  end if;
  if v_table.credits > 0 and v_table.on_refund is null then
    perform listener.welcome_accounts(v_owners);
  end if;

  v_sessions := listener.enter_sessions(v_table, v_rows, v_owners);
  perform listener.charge(v_sessions);
  perform listener.record_events(v_sessions, 'generation_queued');
  return cardinality(v_sessions);
end
$$;

revoke all on function listener.register_rows(oid, jsonb[], boolean) from public, anon, authenticated, service_role;
