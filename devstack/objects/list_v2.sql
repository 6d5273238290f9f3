-- Objects by their whole names; with a delimiter, what lies deeper is one folder whose name ends in it.
-- $1 bucket, $2 how names begin, $3 whether folders are told apart; a condition, an order and a limit follow.
with below as (
  select
    object.*,
    case when $3 then strpos(substr(object.name, length($2::text) + 1), '/') else 0 end as ends
  from storage.objects as object
  where object.bucket_id = $1 and starts_with(object.name, $2::text)
),

entries as (
  select name collate "C" as name, id, updated_at, created_at, last_accessed_at, metadata
  from below
  where ends = 0
  union all
  select distinct
    left(name, length($2::text) + ends) collate "C",
    null::uuid, null::timestamptz, null::timestamptz, null::timestamptz, null::jsonb
  from below
  where ends > 0
)

select name, id, updated_at, created_at, last_accessed_at, metadata
from entries
