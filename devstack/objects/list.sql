-- One level below a folder: files with their rows, and folders by name alone.
-- $1 bucket, $2 folder with its slash or nothing, $3 how the entry's name begins; the order clause adds $4 and $5.
with below as (
  select object.*, substr(object.name, length($2::text) + 1) as rest
  from storage.objects as object
  where object.bucket_id = $1 and starts_with(lower(object.name), lower($2::text || $3::text))
),

entries as (
  select rest as name, id, updated_at, created_at, last_accessed_at, metadata
  from below
  where strpos(rest, '/') = 0
  union all
  select distinct split_part(rest, '/', 1), null::uuid, null::timestamptz, null::timestamptz, null::timestamptz, null::jsonb
  from below
  where strpos(rest, '/') > 0
)

select name, id, updated_at, created_at, last_accessed_at, metadata
from entries
