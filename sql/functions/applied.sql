-- listener.applied(outcomes) -> uuid[]
-- The sessions among the outcomes that the caller is to write.
create function listener.applied(p_outcomes listener.attempt_outcome[])
returns uuid[]
language sql immutable security invoker
set search_path = ''
as $$
  select array(select item.session from unnest(p_outcomes) as item where item.outcome = 'applied')
$$;

revoke all on function listener.applied(listener.attempt_outcome[]) from public, anon, authenticated;
grant execute on function listener.applied(listener.attempt_outcome[]) to service_role;
