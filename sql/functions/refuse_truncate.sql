-- listener.refuse_truncate() trigger, before truncate, for each statement
-- TRUNCATE would pass by the trigger that cancels and refunds.
-- Raises: 0A000; delete the rows instead.
create function listener.refuse_truncate()
returns trigger
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  raise exception 'a session table cannot be truncated' using
    errcode = '0A000',
    hint = 'Delete the rows: their sessions are cancelled and refunded then.';
end
$$;

revoke all on function listener.refuse_truncate() from public, anon, authenticated;
