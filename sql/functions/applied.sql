-- listener.applied(outcomes) -> uuid[]
-- The sessions among the outcomes that the caller is to write.
create function listener.applied(p_outcomes listener.attempt_outcome[])
returns uuid[]
language plpgsql immutable security invoker
set search_path = ''
as $$
begin
  return array(select item.session from unnest(p_outcomes) as item where item.outcome = 'applied');
end
$$;

revoke all on function listener.applied(listener.attempt_outcome[]) from public, anon, authenticated;
grant execute on function listener.applied(listener.attempt_outcome[]) to service_role;
