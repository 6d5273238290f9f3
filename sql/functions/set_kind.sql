-- listener.set_kind(kind, max_attempts, time_limit_s, bucket)
-- Makes a kind, or gives it the policy that is not null; kind_misfits has seen that no other table minds.
-- Units: time_limit_s is seconds.
create function listener.set_kind(p_kind text, p_max_attempts integer, p_time_limit_s integer, p_bucket text)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  insert into listener.kinds as known (kind, max_attempts, time_limit_s, bucket)
  values (p_kind, coalesce(p_max_attempts, 3), coalesce(p_time_limit_s, 300), coalesce(p_bucket, 'generated'))
  on conflict (kind) do update set
    max_attempts = coalesce(p_max_attempts, known.max_attempts),
    time_limit_s = coalesce(p_time_limit_s, known.time_limit_s),
    bucket = coalesce(p_bucket, known.bucket)
  where
    (known.max_attempts, known.time_limit_s, known.bucket) is distinct from (
      coalesce(p_max_attempts, known.max_attempts), coalesce(p_time_limit_s, known.time_limit_s),
      coalesce(p_bucket, known.bucket)
    );
end
$$;

revoke all on function listener.set_kind(text, integer, integer, text) from public, anon, authenticated, service_role;
