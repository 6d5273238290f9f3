-- listener.refuse_table(relation, misfits)
-- Ends a watch or mend with all misfits found, by name; nothing when there are none.
-- Raises: 55000, message "... cannot be watched: name, name", with what was found as detail and what to do as hint.
create function listener.refuse_table(p_relation regclass, p_misfits listener.misfit[])
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_names text;
  v_details text;
  v_hints text;
begin
  select string_agg(misfit.name, ', '), string_agg(misfit.detail, e'\n'), string_agg(misfit.hint, e'\n')
  into v_names, v_details, v_hints
  from unnest(p_misfits) as misfit;
  if v_names is not null then
    raise exception using
      errcode = '55000',
      message = format('%s cannot be watched: %s', p_relation, v_names),
      detail = v_details,
      hint = v_hints;
  end if;
end
$$;

revoke all on function listener.refuse_table(regclass, listener.misfit[]) from public, anon, authenticated, service_role;
