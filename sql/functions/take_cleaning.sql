-- public.take_cleaning(holder, hold_s, at_once) -> jsonb
-- Gives the turn to clean to one holder at a time, and again to who holds it. Answers {"bucket", "path"}: the object that the walk
-- has come to; null: another one's turn, or nothing is due yet, which at_once does not wait for.
-- Units: p_hold_s is seconds, after which a holder that is silent has lost it.
-- Locks:  the row of the turn.
create function public.take_cleaning(p_holder uuid, p_hold_s integer default 300, p_at_once boolean default false)
returns jsonb
language sql volatile security invoker
set search_path = ''
as $$
  with stamp as (
    select
      listener.clock() as clock,
      listener.clock() + make_interval(secs => least(greatest(coalesce(p_hold_s, 300), 1), 3600)) as until
  ),
  taken as (
    insert into listener.cleaning as turn (holder, until)
    select p_holder, stamp.until from stamp
    on conflict (id) do update set holder = excluded.holder, until = excluded.until
    where
      turn.until <= (select stamp.clock from stamp) or turn.holder = p_holder
      or (turn.holder is null and coalesce(p_at_once, false))
    returning turn.bucket, turn.path
  )

  select jsonb_build_object('bucket', taken.bucket, 'path', taken.path) from taken
$$;

revoke all on function public.take_cleaning(uuid, integer, boolean) from public, anon, authenticated;
grant execute on function public.take_cleaning(uuid, integer, boolean) to service_role;
