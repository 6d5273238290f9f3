-- listener.pictures_of(result) -> (path, thumbnail_path, url, width, height, place, pose, similarity, similarity_state, seed)
-- The images in a visible row's result. What a worker says of one in its facts is taken where it makes sense, and is else as if
-- it had not been said: a word of a handler must not put the table out of service.
-- Units: place counts from 0; similarity is 0 to 1.
create function listener.pictures_of(p_result jsonb)
returns table (
  path text, thumbnail_path text, url text, width integer, height integer, place integer, pose text, similarity real,
  similarity_state text, seed bigint
)
language sql immutable security invoker
set search_path = ''
as $$
  select distinct on (artifact.path)
    artifact.path, artifact.thumbnail_path, artifact.url, artifact.width, artifact.height,
    case when said.place between 0 and 999 then said.place::integer else artifact.ordinal::integer - 1 end,
    left(artifact.facts ->> 'pose', 100),
    case when said.similarity between 0 and 1 then said.similarity::real end,
    case
      when artifact.facts ->> 'similarity_state' in ('reference', 'measured', 'below') then artifact.facts ->> 'similarity_state'
      else 'not_measured'
    end,
    case when said.seed between 0 and 9223372036854775807 then said.seed::bigint end
  from rows from (
    jsonb_to_recordset(coalesce(p_result -> 'artifacts', '[]')) as (
      path text, thumbnail_path text, url text, width integer, height integer, content_type text, facts jsonb
    )
  ) with ordinality as artifact (path, thumbnail_path, url, width, height, content_type, facts, ordinal)
  cross join lateral (
    select
      case when jsonb_typeof(artifact.facts -> 'position') = 'number' then (artifact.facts ->> 'position')::numeric end as place,
      case
        when jsonb_typeof(artifact.facts -> 'similarity') = 'number' then (artifact.facts ->> 'similarity')::numeric
      end as similarity,
      case when jsonb_typeof(artifact.facts -> 'seed') = 'number' then (artifact.facts ->> 'seed')::numeric end as seed
  ) as said
  where artifact.content_type like 'image/%'
  order by artifact.path, artifact.ordinal desc
$$;

revoke all on function listener.pictures_of(jsonb) from public, anon, authenticated;
grant execute on function listener.pictures_of(jsonb) to service_role;
