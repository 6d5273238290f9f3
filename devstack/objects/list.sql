-- One level below a folder: files with their rows, and folders by name alone. Names are relative to the folder; what is
-- searched for may itself go on into folders, and then is part of the name.
-- $1 bucket, $2 folder with its slash or nothing, $3 how the entry's name begins; an order clause and limits follow.
with below as (
  select
    object.*,
    substr(object.name, length($2::text) + 1) as rest,
    strpos(substr(object.name, length($2::text || $3::text) + 1), '/') as ends
  from storage.objects as object
  where object.bucket_id = $1 and starts_with(lower(object.name), lower($2::text || $3::text))
),

entries as (
  select rest as name, id, updated_at, created_at, last_accessed_at, metadata
  from below
  where ends = 0
  union all
  select
    min(left(rest, length($3::text) + ends - 1) collate "C"),
    null::uuid, null::timestamptz, null::timestamptz, null::timestamptz, null::jsonb
  from below
  where ends > 0
  group by lower(left(rest, length($3::text) + ends - 1))
)

select name, id, updated_at, created_at, last_accessed_at, metadata
from entries
