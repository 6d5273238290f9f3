-- public.survey_project() -> jsonb
-- What `listener check` asks of the database; changes nothing. Answers {"role", "now", "schema_version", "oldest_worker",
-- "buckets"} and what survey_doors and survey_channels answer; buckets are those that kinds and tables store in.
create function public.survey_project()
returns jsonb
language sql stable security invoker
set search_path = ''
as $$
  select
    jsonb_build_object(
      'role', current_user,
      'now', clock_timestamp(),
      'schema_version', listener.schema_version(),
      'oldest_worker', listener.oldest_worker(),
      'buckets', (
        select coalesce(jsonb_agg(place.bucket order by place.bucket), '[]')
        from (
          select kind.bucket from listener.kinds as kind
          union
          select registry.bucket from listener.session_tables as registry where registry.bucket is not null
        ) as place
      )
    )
    || listener.survey_doors()
    || listener.survey_channels()
$$;

revoke all on function public.survey_project() from public, anon, authenticated;
grant execute on function public.survey_project() to service_role;
