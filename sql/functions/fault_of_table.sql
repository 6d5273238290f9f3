-- listener.fault_of_table(table) -> text
-- Why a watched table is out of service, or will be as soon as a state is to be shown: marked broken, dropped, or without a column
-- that the registry names. Null when nothing is known against it.
create function listener.fault_of_table(p_table listener.session_tables)
returns text
language sql stable security invoker
set search_path = ''
as $$
  select case
    when p_table.broken_reason is not null then p_table.broken_reason
    when not exists (select from pg_catalog.pg_class as class where class.oid = p_table.relation) then 'the table was dropped'
    when lost.columns is not null then format('the table has no column %s', lost.columns)
  end
  from (
    select string_agg(named.name, ', ' order by named.name) as columns
    from (
      select pair.value as name from jsonb_each_text(p_table.columns) as pair
      union
      select unnest(array[p_table.id_column, p_table.owner_column])
    ) as named
    where not exists (
      select from pg_catalog.pg_attribute as present
      where present.attrelid = p_table.relation and present.attname = named.name and not present.attisdropped
    )
  ) as lost
$$;

revoke all on function listener.fault_of_table(listener.session_tables) from public, anon, authenticated;
grant execute on function listener.fault_of_table(listener.session_tables) to service_role;
