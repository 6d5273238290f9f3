-- listener.listed_orphans(buckets, paths, sizes, changes) -> (bucket, path, size_bytes, reason)
-- Those of these objects that no row names, wherever they lie: in our own buckets, of a shape that workers write, untouched for
-- two days, which is longer than any upload waits for its row, what came over HTTP and is spent among them; and whatever lies in
-- the folder of a user who was deleted, unless it was written two days later or more: he is back.
-- Units: p_sizes are bytes; p_changes are when each was written.
create function listener.listed_orphans(p_buckets text[], p_paths text[], p_sizes bigint[], p_changes timestamptz[])
returns table (bucket text, path text, size_bytes bigint, reason text)
language sql stable security invoker
set search_path = ''
as $$
  select
    object.bucket, object.path, object.size_bytes,
    case when gone.owner is null then 'named_by_no_row' else 'owner_forgotten' end
  from unnest(p_buckets, p_paths, p_sizes, p_changes) as object (bucket, path, size_bytes, changed_at)
  left join listener.forgotten_owners as gone
    on split_part(object.path, '/', 1) = gone.owner::text and object.changed_at < gone.forgotten_at + interval '2 days'
  where
    object.bucket in ('headshots', 'generated', 'stores', 'characters', 'videos', 'uploads')
    and (
      gone.owner is not null
      or (
        case object.bucket
          when 'uploads' then listener.is_spent_input(object.path)
          else object.path ~ '^[0-9a-f-]{36}/([a-z0-9_-]{1,64}/)*[0-9a-f-]{36}([.][0-9]+)?([./].*)?$'
        end
        and object.changed_at < (select listener.clock()) - interval '2 days'
      )
    )
    and not exists (
      select from listener.artifacts as artifact
      where artifact.path = object.path and artifact.bucket = object.bucket
    )
    and not exists (
      select from listener.artifacts as artifact
      where artifact.thumbnail_path = object.path and artifact.bucket = object.bucket
    )
    and not listener.is_named(object.bucket, object.path)
$$;

revoke all on function listener.listed_orphans(text[], text[], bigint[], timestamptz[]) from public, anon, authenticated;
grant execute on function listener.listed_orphans(text[], text[], bigint[], timestamptz[]) to service_role;
