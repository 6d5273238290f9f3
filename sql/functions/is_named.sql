-- listener.is_named(bucket, path) -> boolean
-- Whether a character names this object. For each object alone, and asking whether our table is there: an app may have its own.
create function listener.is_named(p_bucket text, p_path text)
returns boolean
language plpgsql stable security invoker
set search_path = ''
as $$
begin
  if not exists (select from listener.session_tables as registry where registry.kind = 'pack' and registry.is_ours) then
    return false;
  end if;
  return case p_bucket
    when 'characters' then exists (select from public.characters as owned where owned.reference_path = p_path)
    when 'uploads' then exists (select from public.characters as owned where owned.face_reference_path = p_path)
    else false
  end;
end
$$;

revoke all on function listener.is_named(text, text) from public, anon, authenticated;
grant execute on function listener.is_named(text, text) to service_role;
