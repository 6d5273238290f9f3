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
  v_table record;
  v_count integer;
  v_rows integer := 0;
  v_characters integer := 0;
begin
  insert into listener.forgotten_owners as known (owner, forgotten_at)
  values (p_owner, listener.clock())
  on conflict (owner) do nothing;
  for v_table in
    select registry.relation, registry.id_column, registry.owner_column
    from listener.session_tables as registry
    where registry.is_ours
    order by registry.id
  loop
    execute format(
      'select from %1$s as visible where visible.%3$I = $1 order by visible.%2$I for update',
      v_table.relation, v_table.id_column, v_table.owner_column
    ) using p_owner;
    execute format('delete from %s as visible where visible.%I = $1', v_table.relation, v_table.owner_column) using p_owner;
    get diagnostics v_count = row_count;
    v_rows := v_rows + v_count;
  end loop;
  if exists (select from listener.session_tables as registry where registry.kind = 'pack' and registry.is_ours) then
    delete from public.characters as owned where owned.user_id = p_owner;
    get diagnostics v_characters = row_count;
  end if;
  if exists (select from listener.session_tables as registry where registry.owner_column = 'store_id' and registry.is_ours) then
    delete from public.store_members as member where member.user_id = p_owner;
  end if;
  return jsonb_build_object('rows', v_rows, 'characters', v_characters);
end
$$;

revoke all on function public.forget_owner(uuid) from public, anon, authenticated;
grant execute on function public.forget_owner(uuid) to service_role;
