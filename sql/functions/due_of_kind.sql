-- listener.due_of_kind(kind, limit) -> due_session[]
-- Locks the next sessions of one kind in fair order, whatever the backlog: by tens, then one by one. With a constant limit the
-- cached plan reads the index in order; with an unknown one the planner sorts the backlog, or plans again at each call.
-- A condition on broken tables as `table_id <> all(...)` would make it expect one row and sort it all, too.
-- Locks:  sessions, skip locked; never waits.
create function listener.due_of_kind(p_kind text, p_limit integer)
returns listener.due_session[]
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_due listener.due_session[] := '{}'::listener.due_session[];
  v_next listener.due_session[];
  v_tag double precision := '-infinity'::double precision;
  v_seq bigint := 0;
begin
  while cardinality(v_due) < p_limit loop
    if p_limit - cardinality(v_due) >= 10 then
      v_next := array(
        select
          row(
            session.id, session.table_id, session.row_id, session.kind, session.work, session.start_tag, session.fair_tag,
            session.seq
          )::listener.due_session
        from listener.sessions as session
        where
          session.status = 'queued' and session.kind = p_kind and (session.fair_tag, session.seq) > (v_tag, v_seq)
          and (select broken_at is null from listener.session_tables as registry where registry.id = session.table_id)
        order by session.fair_tag, session.seq
        limit 10
        for no key update of session skip locked
      );
    else
      v_next := array(
        select
          row(
            session.id, session.table_id, session.row_id, session.kind, session.work, session.start_tag, session.fair_tag,
            session.seq
          )::listener.due_session
        from listener.sessions as session
        where
          session.status = 'queued' and session.kind = p_kind and (session.fair_tag, session.seq) > (v_tag, v_seq)
          and (select broken_at is null from listener.session_tables as registry where registry.id = session.table_id)
        order by session.fair_tag, session.seq
        limit 1
        for no key update of session skip locked
      );
    end if;
    exit when cardinality(v_next) = 0;
    v_due := v_due || v_next;
    v_tag := v_next[cardinality(v_next)].fair_tag;
    v_seq := v_next[cardinality(v_next)].seq;
  end loop;
  return v_due;
end
$$;

revoke all on function listener.due_of_kind(text, integer) from public, anon, authenticated;
grant execute on function listener.due_of_kind(text, integer) to service_role;
