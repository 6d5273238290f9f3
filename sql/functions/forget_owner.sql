-- public.forget_owner(owner) -> jsonb
-- Deletes what a user has in our tables: his rows, which cancels and refunds open sessions and empties all of them, his
-- characters and memberships; the objects go with the next cleaning. The ledger and emptied sessions stay for accounting, events
-- for counting: ids, amounts and times. Rows of an app's own tables are the app's to delete. Answers {"rows", "characters"}.
-- Deleting the user does the same: see forget_user.
-- Locks:  visible rows by table and id, then sessions, then accounts; then characters.
create function public.forget_owner(p_owner uuid)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_ours text[] := array(select registry.relation::text from listener.session_tables as registry where registry.is_ours);
  v_count integer;
  v_rows integer := 0;
  v_characters integer := 0;
begin
  insert into listener.forgotten_owners as known (owner, forgotten_at)
  values (p_owner, listener.clock())
  on conflict (owner) do update set forgotten_at = excluded.forgotten_at;
  if 'public.headshot_sessions' = any(v_ours) then
    perform from public.headshot_sessions as visible where visible.user_id = p_owner order by visible.id for update;
    delete from public.headshot_sessions as visible where visible.user_id = p_owner;
    get diagnostics v_count = row_count;
    v_rows := v_rows + v_count;
  end if;
  if 'public.generation_sessions' = any(v_ours) then
    perform from public.generation_sessions as visible where visible.user_id = p_owner order by visible.id for update;
    delete from public.generation_sessions as visible where visible.user_id = p_owner;
    get diagnostics v_count = row_count;
    v_rows := v_rows + v_count;
  end if;
  if 'public.avatar_sessions' = any(v_ours) then
    perform from public.avatar_sessions as visible where visible.user_id = p_owner order by visible.id for update;
    delete from public.avatar_sessions as visible where visible.user_id = p_owner;
    get diagnostics v_count = row_count;
    v_rows := v_rows + v_count;
  end if;
  if 'public.generation_jobs' = any(v_ours) then
    perform from public.generation_jobs as visible where visible.user_id = p_owner order by visible.id for update;
    delete from public.generation_jobs as visible where visible.user_id = p_owner;
    get diagnostics v_count = row_count;
    v_rows := v_rows + v_count;
    delete from public.characters as owned where owned.user_id = p_owner;
    get diagnostics v_characters = row_count;
  end if;
  if 'public.store_generation_sessions' = any(v_ours) then
    delete from public.store_members as member where member.user_id = p_owner;
  end if;
  return jsonb_build_object('rows', v_rows, 'characters', v_characters);
end
$$;

revoke all on function public.forget_owner(uuid) from public, anon, authenticated;
grant execute on function public.forget_owner(uuid) to service_role;
