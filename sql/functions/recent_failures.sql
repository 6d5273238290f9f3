-- public.recent_failures(hours, limit) -> jsonb
-- What failed for good lately. Answers {"counts", "failures"}: how often each code of each kind, most often first, and the
-- newest failures, newest first, as their rows show them.
-- Units: p_hours counts back from now.
create function public.recent_failures(p_hours double precision default 24, p_limit integer default 20)
returns jsonb
language sql stable security invoker
set search_path = ''
as $$
  with failed as (
    select session.*
    from listener.kinds as kinds
    -- One range of the index (kind, finished_at) for each kind.
    cross join lateral (
      select ended.*
      from listener.sessions as ended
      where
        ended.kind = kinds.kind and ended.status = 'failed'
        and ended.finished_at >= listener.clock() - make_interval(secs => greatest(p_hours, 0) * 3600)
    ) as session
  ),

  newest as (
    select failed.* from failed order by failed.finished_at desc, failed.id limit least(greatest(p_limit, 0), 1000)
  )

  select jsonb_build_object(
    'counts', (
      select
        coalesce(
          jsonb_agg(to_jsonb(counted) order by counted.count desc, counted.kind, counted.code),
          '[]'
        )
      from (
        select failed.kind, failed.error_code as code, count(*) as count, max(failed.finished_at) as last_at
        from failed
        group by failed.kind, failed.error_code
      ) as counted
    ),
    'failures', (
      select
        coalesce(
          jsonb_agg(
            jsonb_build_object(
              'finished_at', newest.finished_at, 'kind', newest.kind, 'code', newest.error_code,
              'message', newest.error_message, 'details', newest.error_details, 'request_id', newest.request_id,
              'row_id', newest.row_id, 'attempt', newest.attempt
            )
            order by newest.finished_at desc, newest.id
          ),
          '[]'
        )
      from newest
    )
  )
$$;

revoke all on function public.recent_failures(double precision, integer) from public, anon, authenticated;
grant execute on function public.recent_failures(double precision, integer) to service_role;
