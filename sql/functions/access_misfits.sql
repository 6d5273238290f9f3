-- listener.access_misfits(table, rls_off_is_fine, grant_select) -> setof misfit
-- Who would see too much, or by whom Realtime would be silenced for the whole project: a role that may read a published table
-- without USAGE on its schema (measured).
create function listener.access_misfits(
  p_table listener.session_tables, p_rls_off_is_fine boolean, p_grant_select boolean
)
returns setof listener.misfit
language sql stable security invoker
set search_path = ''
as $$
  select misfit.name, misfit.detail, misfit.hint
  from pg_catalog.pg_class as class
  inner join pg_catalog.pg_namespace as namespace on class.relnamespace = namespace.oid
  left join pg_catalog.pg_publication as publication on publication.pubname = 'supabase_realtime'
  left join pg_catalog.pg_publication_rel as published
    on published.prpubid = publication.oid and published.prrelid = class.oid
  cross join lateral (
    select string_agg(quote_ident(role.rolname), ', ' order by role.rolname) as roles
    from pg_catalog.pg_roles as role
    where
      not role.rolsuper and role.rolname <> 'service_role'
      and not has_schema_privilege(role.oid, namespace.oid, 'usage')
      and (
        has_any_column_privilege(role.oid, class.oid, 'select')
        or (role.rolname = 'authenticated' and p_grant_select and class.relrowsecurity)
      )
  ) as shut_out
  cross join lateral (
    values
      (not class.relrowsecurity and not p_rls_off_is_fine, 'rls_off',
        'Row level security is off: whoever may read the table sees the rows of all owners.',
        format('alter table %s enable row level security; or pass rls_off_is_fine => true.', p_table.relation)),
      (shut_out.roles is not null, 'subscriber_without_usage',
        format('%s may read the table but not use the schema %I: that silences Realtime.', shut_out.roles, namespace.nspname),
        format('grant usage on schema %I to %s; or do not let them read (grant_select => false).',
          namespace.nspname, shut_out.roles)),
      (publication.oid is null, 'publication_missing', 'There is no publication supabase_realtime.',
        'create publication supabase_realtime;'),
      (not (publication.pubinsert and publication.pubupdate), 'publication_is_partial',
        'The publication supabase_realtime leaves out inserts or updates.',
        'alter publication supabase_realtime set (publish = ''insert, update, delete, truncate'');'),
      (published.prattrs is not null or published.prqual is not null, 'published_in_part',
        'The table is published with a column list or a row filter, so watchers would miss states.',
        format('alter publication supabase_realtime drop table %s; watch adds it again as a whole.', p_table.relation))
  ) as misfit (applies, name, detail, hint)
  where class.oid = p_table.relation and misfit.applies
$$;

revoke all on function listener.access_misfits(listener.session_tables, boolean, boolean)
from public, anon, authenticated, service_role;
