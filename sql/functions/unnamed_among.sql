-- listener.unnamed_among(buckets, paths) -> (bucket, path, size_bytes, reason)
-- Those of these objects that no row names: in our own buckets, of a shape that workers write, untouched for two days, which is
-- longer than any upload waits for its row; and whatever lies in the folder of a user who was deleted.
create function listener.unnamed_among(p_buckets text[], p_paths text[])
returns table (bucket text, path text, size_bytes bigint, reason text)
language sql stable security invoker
set search_path = ''
as $$
  select
    object.bucket_id, object.name,
    case when object.metadata ->> 'size' ~ '^[0-9]{1,15}$' then (object.metadata ->> 'size')::bigint end,
    case when gone.owner is null then 'named_by_no_row' else 'owner_forgotten' end
  from unnest(p_buckets, p_paths) as given (bucket, path)
  inner join storage.objects as object on given.bucket = object.bucket_id and given.path = object.name
  left join listener.forgotten_owners as gone on split_part(object.name, '/', 1) = gone.owner::text
  where
    object.bucket_id in ('headshots', 'generated', 'stores', 'characters', 'videos', 'uploads')
    and (
      gone.owner is not null
      or (
        object.bucket_id <> 'uploads'
        and object.name ~ '^[0-9a-f-]{36}/([a-z0-9_-]{1,64}/)*[0-9a-f-]{36}([.][0-9]+)?([./].*)?$'
        and greatest(object.created_at, object.updated_at) < (select listener.clock()) - interval '2 days'
      )
    )
    and not exists (
      select from listener.artifacts as artifact
      where artifact.path = object.name and artifact.bucket = object.bucket_id
    )
    and not exists (
      select from listener.artifacts as artifact
      where artifact.thumbnail_path = object.name and artifact.bucket = object.bucket_id
    )
    and not listener.is_named(object.bucket_id, object.name)
$$;

revoke all on function listener.unnamed_among(text[], text[]) from public, anon, authenticated;
grant execute on function listener.unnamed_among(text[], text[]) to service_role;
