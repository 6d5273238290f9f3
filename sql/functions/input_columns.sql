-- listener.input_columns(table) -> text[]
-- The columns that are the app's: neither state nor computed.
create function listener.input_columns(p_table listener.session_tables)
returns text[]
language sql stable security invoker
set search_path = ''
as $$
  select array(
    select input.attname::text
    from pg_catalog.pg_attribute as input
    where
      input.attrelid = p_table.relation and input.attnum > 0 and not input.attisdropped and input.attgenerated = ''
      and input.attname not in (select pair.value from jsonb_each_text(p_table.columns) as pair)
    order by input.attnum
  )
$$;

revoke all on function listener.input_columns(listener.session_tables) from public, anon, authenticated;
grant execute on function listener.input_columns(listener.session_tables) to service_role;
