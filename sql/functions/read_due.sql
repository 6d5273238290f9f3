-- listener.read_due(sessions) -> due_session[]
-- What a claim needs to know of sessions that it has locked, in the order given.
create function listener.read_due(p_sessions uuid[])
returns listener.due_session[]
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  return array(
    select
      row(
        session.id, session.table_id, session.row_id, session.kind, session.work, session.start_tag, session.fair_tag,
        session.seq
      )::listener.due_session
    from unnest(p_sessions) with ordinality as given (id, ordinal)
    inner join listener.sessions as session on given.id = session.id
    order by given.ordinal
  );
end
$$;

revoke all on function listener.read_due(uuid[]) from public, anon, authenticated;
grant execute on function listener.read_due(uuid[]) to service_role;
