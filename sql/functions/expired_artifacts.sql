-- public.expired_artifacts(limit) -> (bucket, path, size_bytes, reason)
-- Objects, thumbnails too, of up to `limit` artifacts that may go: of deleted rows, kept for their kind's keep_days, and for their
-- bucket's keep_hours. Changes nothing, so it is the dry run as well; forget_artifacts comes next. What was never delivered is
-- found by orphaned_objects. By the hour is looked for by the artifacts' own age: their sessions stay, and would pile up before them.
-- Units: size_bytes is null for a thumbnail.
create function public.expired_artifacts(p_limit integer default 100)
returns table (bucket text, path text, size_bytes bigint, reason text)
language sql stable security invoker
set search_path = ''
as $$
  with due as (
    (
      select discarded.bucket, discarded.path, discarded.thumbnail_path, discarded.size_bytes, discarded.reason
      from listener.due_artifacts as discarded
      where discarded.discarded_at is not null and not listener.is_named(discarded.bucket, discarded.path)
      order by discarded.discarded_at
      limit least(greatest(p_limit, 0), 1000)
    )
    union all
    (
      select old.bucket, old.path, old.thumbnail_path, old.size_bytes, old.reason
      from listener.kinds as policy
      cross join lateral (
        select kept.*
        from listener.due_artifacts as kept
        where
          kept.kind = policy.kind and kept.finished_at < (select listener.clock()) - make_interval(days => policy.keep_days)
          and kept.discarded_at is null and not listener.is_named(kept.bucket, kept.path)
        order by kept.finished_at
        limit least(greatest(p_limit, 0), 1000)
      ) as old
      where policy.keep_days is not null
    )
    union
    (
      select old.bucket, old.path, old.thumbnail_path, old.size_bytes, old.reason
      from listener.retentions as policy
      cross join lateral (
        select kept.*
        from listener.due_artifacts as kept
        where
          kept.bucket = policy.bucket and kept.discarded_at is null
          and kept.saved_at < (select listener.clock()) - make_interval(secs => 3600 * policy.keep_hours)
          and kept.due_at < (select listener.clock())
          and not listener.is_named(kept.bucket, kept.path)
        order by kept.saved_at
        limit least(greatest(p_limit, 0), 1000)
      ) as old
    )
    limit least(greatest(p_limit, 0), 1000)
  )

  select due.bucket, due.path, due.size_bytes, due.reason from due
  union all
  select due.bucket, due.thumbnail_path, null, due.reason from due
  where due.thumbnail_path is not null
$$;

revoke all on function public.expired_artifacts(integer) from public, anon, authenticated;
grant execute on function public.expired_artifacts(integer) to service_role;
