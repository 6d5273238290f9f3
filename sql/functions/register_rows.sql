-- listener.register_rows(relation, rows, is_limited) -> integer
-- Records a session for each of these rows of a session table that stands at queued, and charges its owner: all of them or none.
-- Returns how many. Their order is the order in which they queue. Rate limits (is_limited) are for rows that somebody inserts, not
-- for those that were there when the table was adopted.
-- Locks:  accounts, ascending owner.
-- Raises: 23514 when no worker could read a row; 23502 when a row has no owner; PT402 credits_insufficient; PGRST with status 429;
--         23505 when a row's id was a session of this table before.
create function listener.register_rows(p_relation oid, p_rows jsonb[], p_is_limited boolean default false)
returns integer
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_table record;
  v_rows jsonb[];
  v_owners uuid[];
  v_sessions uuid[];
  v_request_id text := listener.request_header('x-request-id');
begin
  select
    registry.id, registry.kind, registry.credits, registry.id_column, registry.owner_column,
    registry.on_refund is not null as paid_by_app,
    registry.columns ->> 'status' as status_column,
    array(select pair.value from jsonb_each_text(registry.columns) as pair) as state_columns
  into strict v_table
  from listener.session_tables as registry
  where registry.relation = p_relation;
  v_rows := array(
    select arriving.fields
    from unnest(p_rows) with ordinality as arriving (fields, ordinal)
    where arriving.fields ->> v_table.status_column = 'queued'
    order by arriving.ordinal
  );
  if cardinality(v_rows) = 0 then
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
  if v_table.credits > 0 and not v_table.paid_by_app then
    perform listener.welcome_accounts(v_owners);
  end if;

  with registered as (
    insert into listener.sessions as session (
      table_id, row_id, kind, owner, params, cost, paid_by_app, work, start_tag, fair_tag, max_attempts, time_limit_s,
      request_id, traceparent, created_at, updated_at
    )
    select
      v_table.id, (arriving.fields ->> v_table.id_column)::uuid, kind.kind,
      (arriving.fields ->> v_table.owner_column)::uuid, arriving.fields - v_table.state_columns, v_table.credits,
      v_table.paid_by_app, kind.work, turn.start_tag, turn.fair_tag, kind.max_attempts, kind.time_limit_s,
      coalesce(substring(arriving.fields ->> 'request_id' from '^[\x21-\x7e]{1,200}$'), v_request_id, gen_random_uuid()::text),
      listener.request_header('traceparent'), stamp.clock, stamp.clock
    from unnest(v_rows) with ordinality as arriving (fields, ordinal)
    inner join listener.take_turns(v_table.kind, v_owners) as turn on arriving.ordinal = turn.ordinal
    inner join listener.kinds as kind on kind.kind = v_table.kind
    cross join listener.clock() as stamp (clock)
    order by arriving.ordinal
    returning session.id
  )
  select array_agg(registered.id) into v_sessions from registered;
  perform listener.charge(v_sessions);
  perform listener.record_events(v_sessions, 'generation_queued');
  return cardinality(v_sessions);
end
$$;

revoke all on function listener.register_rows(oid, jsonb[], boolean) from public, anon, authenticated, service_role;
