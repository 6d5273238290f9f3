-- listener.cancel_share(session, undelivered) -> integer
-- What the user's cancel of a running session gives back, by the kind's policy; null is all. Undelivered is what the worker says,
-- else, once there is an artifact, the part that the progress has not reached. Where a column of the row says how many are paid
-- for, no more comes back than is not stored: a worker may be stopped between storing an image and counting it.
-- Units: p_undelivered and the answer are credits.
create function listener.cancel_share(p_session uuid, p_undelivered integer default null)
returns integer
language sql stable security invoker
set search_path = ''
as $$
  select case
    when policy.cancel_refund = 'all' or session.cost = 0 then null
    when policy.cancel_refund = 'none' then 0
    when p_undelivered >= session.cost then session.cost
    when p_undelivered is not null then least(greatest(p_undelivered, 0), session.cost - stored.cost)
    when not exists (
      select from listener.artifacts as artifact
      where artifact.session = session.id and artifact.attempt = session.attempt
    ) then null
    else session.cost - session.cost * session.progress / 100
  end
  from listener.sessions as session
  inner join listener.kinds as policy on session.kind = policy.kind
  cross join lateral (
    select least(coalesce(sum(registry.credits), 0), session.cost)::integer as cost
    from listener.session_tables as registry
    inner join listener.artifacts as artifact on artifact.session = session.id and artifact.attempt = session.attempt
    where registry.id = session.table_id and registry.credits_column is not null
  ) as stored
  where session.id = p_session
$$;

revoke all on function listener.cancel_share(uuid, integer) from public, anon, authenticated;
grant execute on function listener.cancel_share(uuid, integer) to service_role;
