-- listener.index_misfits(table) -> setof misfit
-- Unique and exclusion indexes over state columns: they would stop a state for one row because of another one.
create function listener.index_misfits(p_table listener.session_tables)
returns setof listener.misfit
language sql stable security invoker
set search_path = ''
as $$
  select
    'unique_index_over_state',
    format('%s allows a state only once, so one session could stop another.', index.indexrelid::regclass),
    'Drop it, and limit in listener.plans how many sessions an owner may have at once.'
  from pg_catalog.pg_index as index
  where
    index.indrelid = p_table.relation and (index.indisunique or index.indisexclusion) and not index.indisprimary
    and exists (
      select
      from jsonb_each_text(p_table.columns) as pair
      inner join pg_catalog.pg_attribute as state on state.attrelid = index.indrelid and pair.value = state.attname
      left join pg_catalog.pg_depend as uses
        on uses.classid = 'pg_catalog.pg_class'::regclass and uses.objid = index.indexrelid
        and uses.refobjid = index.indrelid and uses.refobjsubid = state.attnum
      where state.attnum = any(index.indkey::smallint[]) or uses.objid is not null
    )
$$;

revoke all on function listener.index_misfits(listener.session_tables) from public, anon, authenticated, service_role;
