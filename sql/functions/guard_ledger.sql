-- listener.guard_ledger() trigger, before update, delete or truncate, for each statement
-- The ledger is only ever added to.
-- Raises: SL003 transition_refused.
create function listener.guard_ledger()
returns trigger
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  raise exception 'transition_refused' using
    errcode = 'SL003',
    detail = 'Ledger entries are neither changed nor removed; grant or refund instead.';
end
$$;

revoke all on function listener.guard_ledger() from public, anon, authenticated;
