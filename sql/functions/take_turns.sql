-- listener.take_turns(kind, owners, units) -> (ordinal, start_tag, fair_tag)
-- Gives each arriving session its place in the kind's virtual time: one entry of p_owners and of p_units per session, in order of
-- arrival. What a session asks for counts: one of ten units takes as much of its owner's share as ten of one unit.
-- Locks:  the owners' accounts are locked by the caller; turns are written only under that lock.
-- Source: start-time fair queueing (Goyal, Vin, Cheng 1996).
create function listener.take_turns(p_kind text, p_owners uuid[], p_units integer[])
returns table (ordinal bigint, start_tag double precision, fair_tag double precision)
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  return query
  with arrival as (
    select
      given.owner, given.ordinal, given.units,
      sum(given.units) over (partition by given.owner order by given.ordinal) - given.units as before
    from unnest(p_owners, p_units) with ordinality as given (owner, units, ordinal)
  ),
  burst as (
    select arrival.owner, sum(arrival.units) as units from arrival group by arrival.owner
  ),
  place as (
    select
      account.owner,
      greatest(stood.virtual_time, turn.last_tag) as first_tag,
      kind.work / plan.weight as step,
      plan.head_start,
      burst.units
    from burst
    inner join listener.accounts as account on burst.owner = account.owner
    inner join listener.plans as plan on account.plan = plan.plan
    inner join listener.kinds as kind on kind.kind = p_kind
    inner join listener.virtual_times as stood on stood.kind = p_kind
    left join listener.turns as turn on account.owner = turn.owner and turn.kind = p_kind
  ),
  advanced as (
    insert into listener.turns (owner, kind, last_tag)
    select place.owner, p_kind, place.first_tag + place.units * place.step from place
    on conflict (owner, kind) do update set last_tag = excluded.last_tag
  )
  select
    arrival.ordinal,
    place.first_tag + arrival.before * place.step,
    place.first_tag + arrival.before * place.step - place.head_start
  from arrival
  inner join place on arrival.owner = place.owner;
end
$$;

revoke all on function listener.take_turns(text, uuid[], integer[]) from public, anon, authenticated;
grant execute on function listener.take_turns(text, uuid[], integer[]) to service_role;
