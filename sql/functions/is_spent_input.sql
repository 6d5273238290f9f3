-- listener.is_spent_input(path) -> boolean
-- Whether an object of the bucket uploads came with a request over HTTP and is needed no more: the file
-- {owner}/avatars/{row}/{request}/{file} of a session that finished, or never was; the face {owner}/{character}-{digest}.{type} of
-- a character that is gone, or never was. Everything else in there is its owner's own.
create function listener.is_spent_input(p_path text)
returns boolean
language plpgsql stable security invoker
set search_path = ''
as $$
declare
  v_row text := substring(
    p_path from '^[0-9a-f-]{36}/avatars/([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})/[0-9a-f-]{36}/[a-z]+-[0-9a-f]{16}[.][a-z0-9]{3}$'
  );
  v_character text := substring(
    p_path from '^[0-9a-f-]{36}/([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})-[0-9a-f]{16}[.](?:png|jpg|webp)$'
  );
begin
  if v_character is not null then
    if not exists (select from listener.session_tables as registry where registry.kind = 'pack' and registry.is_ours) then
      return false; -- public.characters may be the app's own
    end if;
    return not exists (select from public.characters as owned where owned.id = v_character::uuid);
  end if;
  return v_row is not null and not exists (
    select from listener.sessions as waiting where waiting.row_id = v_row::uuid and waiting.finished_at is null
  );
end
$$;

revoke all on function listener.is_spent_input(text) from public, anon, authenticated;
grant execute on function listener.is_spent_input(text) to service_role;
