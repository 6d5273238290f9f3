-- listener.save_artifacts(outcomes, items)
-- Writes the artifacts of those attempts that the fence let through; of one name given twice, the last counts.
create function listener.save_artifacts(p_outcomes listener.attempt_outcome[], p_items jsonb)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
begin
  insert into listener.artifacts (
    session, attempt, name, bucket, path, thumbnail_path, width, height, size_bytes, content_type, url, expires_at,
    facts, created_at, updated_at
  )
  select distinct on (item.session, item.attempt, item.name)
    item.session, item.attempt, item.name, item.bucket, item.path, item.thumbnail_path, item.width, item.height,
    item.size_bytes, item.content_type, item.url, item.expires_at, coalesce(item.facts, '{}'), stamp.clock, stamp.clock
  from rows from (
    jsonb_to_recordset(p_items) as (
      session uuid, attempt integer, name text, bucket text, path text, thumbnail_path text, width integer,
      height integer, size_bytes bigint, content_type text, url text, expires_at timestamptz, facts jsonb
    )
  ) with ordinality as item (
    session, attempt, name, bucket, path, thumbnail_path, width, height, size_bytes, content_type, url, expires_at, facts,
    ordinal
  )
  inner join unnest(p_outcomes) as outcome
    on item.session = outcome.session and item.attempt = outcome.attempt and outcome.outcome = 'applied'
  cross join (select listener.clock() as clock) as stamp
  order by item.session, item.attempt, item.name, item.ordinal desc
  on conflict (session, attempt, name) do update set
    bucket = excluded.bucket, path = excluded.path, thumbnail_path = excluded.thumbnail_path, width = excluded.width,
    height = excluded.height, size_bytes = excluded.size_bytes, content_type = excluded.content_type,
    url = excluded.url, expires_at = excluded.expires_at, facts = excluded.facts, updated_at = excluded.updated_at;
end
$$;

revoke all on function listener.save_artifacts(listener.attempt_outcome[], jsonb) from public, anon, authenticated;
grant execute on function listener.save_artifacts(listener.attempt_outcome[], jsonb) to service_role;
