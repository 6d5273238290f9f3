-- listener.refund_misfits(table) -> setof misfit
-- Why the app's own refund function could not be called.
create function listener.refund_misfits(p_table listener.session_tables)
returns setof listener.misfit
language sql stable security invoker
set search_path = ''
as $$
  select misfit.name, misfit.detail, misfit.hint
  from (select to_regprocedure(p_table.on_refund) as oid) as given
  left join pg_catalog.pg_proc as routine on given.oid = routine.oid
  cross join lateral (
    values
      (given.oid is null, 'on_refund_missing', format('There is no function %s.', p_table.on_refund),
        'Name it with its schema and arguments: on_refund => ''public.give_back(uuid,integer)''.'),
      (routine.prokind <> 'f'
        or array(select unnest(routine.proargtypes)) <> array['uuid'::regtype, 'integer'::regtype]::oid[],
        'on_refund_takes_other_arguments', format('%s does not take (uuid, integer).', given.oid),
        'It is called with the id of the row and the amount.'),
      (not has_function_privilege('service_role', given.oid, 'execute')
        or not has_schema_privilege('service_role', routine.pronamespace, 'usage'),
        'on_refund_closed_to_workers', format('service_role may not execute %s.', given.oid),
        format('grant execute on function %s to service_role; and usage on its schema.', given.oid))
  ) as misfit (applies, name, detail, hint)
  where p_table.on_refund is not null and misfit.applies
$$;

revoke all on function listener.refund_misfits(listener.session_tables) from public, anon, authenticated, service_role;
