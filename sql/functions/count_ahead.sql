-- listener.count_ahead(kind, fair_tag, seq) -> integer
-- How many queued sessions of the kind come before this place; counted up to 1001, whatever the backlog: in order, because the
-- planner would else collect the whole backlog before it counts.
create function listener.count_ahead(p_kind text, p_fair_tag double precision, p_seq bigint)
returns integer
language sql stable security invoker
set search_path = ''
as $$
  select count(*)::integer
  from (
    select
    from listener.sessions as session
    where session.status = 'queued' and session.kind = p_kind and (session.fair_tag, session.seq) < (p_fair_tag, p_seq)
    order by session.fair_tag, session.seq
    limit 1001
  ) as ahead
$$;

revoke all on function listener.count_ahead(text, double precision, bigint) from public, anon, authenticated, service_role;
