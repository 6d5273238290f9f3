-- listener.start_virtual_time() trigger, after insert, for each row
-- A new kind's virtual time stands at nought.
create function listener.start_virtual_time()
returns trigger
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  insert into listener.virtual_times (kind) values (new.kind);
  return null;
end
$$;

revoke all on function listener.start_virtual_time() from public, anon, authenticated, service_role;
