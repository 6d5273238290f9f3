-- listener.enter_sessions(table, rows, owners) -> uuid[]
-- Writes the sessions of arriving rows, in their order, each with the variant that its id draws; params is the row without its
-- state. `variant` is a reserved key: what a row has under that name is dropped, so that nobody chooses his own overrides.
-- Locks:  none; the caller has locked the owners' accounts.
create function listener.enter_sessions(p_table listener.session_tables, p_rows jsonb[], p_owners uuid[])
returns uuid[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_sessions uuid[];
  v_units integer[] := array(
    select case when p_table.credits_column is null then 1 else (fields ->> p_table.credits_column)::integer end
    from unnest(p_rows) as fields
  );
  v_hidden text[] := array(select pair.value from jsonb_each_text(p_table.columns) as pair) || array['variant'];
  v_request_id text := listener.request_header('x-request-id');
begin
  with arriving as (
    select given.fields, given.units, given.ordinal, gen_random_uuid() as session
    from unnest(p_rows, v_units) with ordinality as given (fields, units, ordinal)
  ),
  registered as (
    insert into listener.sessions as session (
      id, table_id, row_id, kind, owner, params, variant, cost, paid_by_app, tells_partner, work, start_tag, fair_tag,
      max_attempts, time_limit_s, request_id, traceparent, created_at, updated_at
    )
    select
      arriving.session, p_table.id, (arriving.fields ->> p_table.id_column)::uuid, kind.kind,
      (arriving.fields ->> p_table.owner_column)::uuid,
      arriving.fields - v_hidden || case
        when drawn.name is null then '{}'
        else jsonb_build_object('variant', jsonb_build_object('name', drawn.name, 'overrides', drawn.overrides))
      end,
      drawn.name,
      p_table.credits * arriving.units,
      p_table.on_refund is not null, p_table.tells_partner,
      kind.work * greatest(arriving.units, 1), turn.start_tag, turn.fair_tag, kind.max_attempts, kind.time_limit_s,
      coalesce(substring(arriving.fields ->> 'request_id' from '^[\x21-\x7e]{1,200}$'), v_request_id, gen_random_uuid()::text),
      listener.request_header('traceparent'), stamp.clock, stamp.clock
    from arriving
    inner join listener.take_turns(p_table.kind, p_owners, array(select greatest(unit, 1) from unnest(v_units) as unit)) as turn
      on arriving.ordinal = turn.ordinal
    inner join listener.kinds as kind on kind.kind = p_table.kind
    cross join listener.clock() as stamp (clock)
    left join listener.active_variants(p_table.kind) as drawn
      on listener.lot(arriving.session) >= drawn.low and listener.lot(arriving.session) < drawn.high
    order by arriving.ordinal
    returning session.id
  )
  select array_agg(registered.id) into v_sessions from registered;
  return v_sessions;
end
$$;

revoke all on function listener.enter_sessions(listener.session_tables, jsonb[], uuid[]) from public, anon, authenticated, service_role;
