-- public.leave_cleaning(holder, bucket, path, rest_s) -> boolean
-- Ends a holder's turn: the walk has come to this object, '' and '' being its beginning, and the next turn is after rest_s seconds.
-- False, and nothing written, for who does not hold the turn any more.
-- Locks:  the row of the turn.
create function public.leave_cleaning(p_holder uuid, p_bucket text, p_path text, p_rest_s integer)
returns boolean
language sql volatile security invoker
set search_path = ''
as $$
  with left_to_others as (
    update listener.cleaning as turn
    set
      holder = null, bucket = coalesce(p_bucket, ''), path = coalesce(p_path, ''),
      until = listener.clock() + make_interval(secs => least(greatest(coalesce(p_rest_s, 60), 0), 86400))
    where turn.holder = p_holder
    returning turn.id
  )

  select exists (select from left_to_others)
$$;

revoke all on function public.leave_cleaning(uuid, text, text, integer) from public, anon, authenticated;
grant execute on function public.leave_cleaning(uuid, text, text, integer) to service_role;
