-- public.set_retention(bucket, hours)
-- Says how long the results in a bucket are kept after their sessions ended; null: as long as their kind says. It holds for what lies
-- there already, from the next cleaning on.
create function public.set_retention(p_bucket text, p_hours double precision)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  if p_hours is null then
    delete from listener.retentions as kept where kept.bucket = p_bucket;
    return;
  end if;
  insert into listener.retentions as kept (bucket, keep_hours)
  values (p_bucket, p_hours)
  on conflict (bucket) do update set keep_hours = excluded.keep_hours
  where kept.keep_hours <> excluded.keep_hours;
end
$$;

revoke all on function public.set_retention(text, double precision) from public, anon, authenticated;
grant execute on function public.set_retention(text, double precision) to service_role;
