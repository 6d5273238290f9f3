-- listener.refuse_unreadable(rows)
-- Refuses rows that no worker could read: one such row would stop every worker that claims it. JSON readers give up at about
-- 1,000 levels and at integers of some thousand digits; what is larger than a double is no number to a handler anyway.
-- Units: the size is bytes.
-- Raises: 23514 params_unreadable; the message is constant.
create function listener.refuse_unreadable(p_rows jsonb[])
returns void
language plpgsql immutable security invoker
set search_path = ''
as $$
begin
  if exists (
    select from unnest(p_rows) as arriving (fields)
    where
      pg_column_size(arriving.fields) > 33554432
      or jsonb_path_exists(arriving.fields, 'strict $.**{64}')
      or jsonb_path_exists(arriving.fields, 'strict $.** ? (@.type() == "number") ? (@ > 1.79e308 || @ < -1.79e308)')
  ) then
    raise exception 'params_unreadable' using
      errcode = '23514',
      detail = 'A row is nested deeper than 60 levels, larger than 32 MiB, or holds a number beyond a double.',
      hint = 'Keep large inputs in the storage and name them in the row.';
  end if;
end
$$;

revoke all on function listener.refuse_unreadable(jsonb[]) from public, anon, authenticated, service_role;
