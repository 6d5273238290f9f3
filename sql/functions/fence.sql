-- listener.fence(worker, items, settled) -> attempt_outcome[]
-- Locks the sessions of [{"session", "attempt"}] and tells for each item, in order, whether the worker may write:
-- applied while it holds the attempt; already when the session stands in one of p_settled by the same attempt, or the item
-- came twice; else refused. A stale item never raises: it must not roll back its neighbours.
-- Locks:  visible rows, then sessions ascending; waits.
create function listener.fence(p_worker uuid, p_items jsonb, p_settled text[])
returns listener.attempt_outcome[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_sessions uuid[] := array(select (item ->> 'session')::uuid from jsonb_array_elements(p_items) as item);
begin
  perform listener.hold_rows(v_sessions, false);
  perform from listener.sessions as session
  where session.id = any(v_sessions)
  order by session.id
  for no key update;

  return array(
    select
      row(
        item.session, item.attempt,
        case
          when verdict.code is not null then 'refused'
          when session.status = 'processing' and item.nth = 1 then 'applied'
          else 'already'
        end,
        verdict.code, session.cancel_requested_at is not null
      )::listener.attempt_outcome
    from (
      select
        (given.item ->> 'session')::uuid as session, (given.item ->> 'attempt')::integer as attempt, given.ordinal,
        row_number() over (partition by given.item ->> 'session', given.item ->> 'attempt' order by given.ordinal) as nth
      from jsonb_array_elements(p_items) with ordinality as given (item, ordinal)
    ) as item
    left join listener.sessions as session on item.session = session.id
    cross join lateral (
      select case
        when session.id is null then 'SL002'
        when session.worker is distinct from p_worker or session.attempt is distinct from item.attempt then 'SL001'
        when session.status <> 'processing' and session.status <> all(p_settled) then 'SL003'
      end as code
    ) as verdict
    order by item.ordinal
  );
end
$$;

revoke all on function listener.fence(uuid, jsonb, text[]) from public, anon, authenticated;
grant execute on function listener.fence(uuid, jsonb, text[]) to service_role;
