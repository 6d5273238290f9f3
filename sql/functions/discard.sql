-- listener.discard(table, rows)
-- Empties the sessions of deleted rows of what their owners wrote and got, but for the variant, which results are compared by; and
-- marks their artifacts for the next cleaning.
-- Locks:  sessions; the caller has locked the open ones.
create function listener.discard(p_table_id integer, p_rows uuid[])
returns void
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  v_sessions uuid[];
begin
  with emptied as (
    update listener.sessions as session
    set
      params = case
        when session.params ? 'variant' then jsonb_build_object('variant', session.params -> 'variant') else '{}'
      end,
      result = null, note = null, error_message = null, error_details = null, traceparent = null
    from (
      select held.id from listener.sessions as held
      where held.row_id = any(p_rows) and held.table_id = p_table_id
      order by held.id
      for no key update
    ) as of_row
    where session.id = of_row.id
    returning session.id
  )
  select array_agg(emptied.id) into v_sessions from emptied;
  update listener.artifacts as artifact
  set discarded_at = listener.clock()
  where artifact.session = any(v_sessions) and artifact.discarded_at is null;
end
$$;

revoke all on function listener.discard(integer, uuid[]) from public, anon, authenticated, service_role;
