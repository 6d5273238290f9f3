-- listener.reset_state(defaults) trigger, before insert, for each row
-- Gives the state columns of an arriving row their first values, whatever a user wrote there. Roles with service_role's
-- rights are trusted, so that finished rows can be imported. The defaults are the trigger's argument, as jsonb.
create function listener.reset_state()
returns trigger
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  if pg_has_role(current_user, 'service_role', 'usage') then
    return new;
  end if;
  return jsonb_populate_record(new, tg_argv[0]::jsonb);
end
$$;

revoke all on function listener.reset_state() from public, anon, authenticated;
