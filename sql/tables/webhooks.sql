-- listener.webhooks
-- Where a wake-up goes when sessions arrive: workers that are reachable over HTTP. kinds null stands for all of them.
-- The two keys are those of HMAC-SHA256 with its paddings, so that a signature is two hashes. They are worth what the secret is
-- worth: no role of the API reads this table, only the trigger's definer code.
-- Units: timeout_ms is how long pg_net waits for the answer.
create table listener.webhooks (
  url text primary key,
  kinds text[],
  inner_key bytea not null,
  outer_key bytea not null,
  timeout_ms integer not null default 2000,
  created_at timestamptz not null default now(),
  constraint webhooks_go_over_http check (url ~ '^https?://[^\s/?#@]+(/[^\s#]*)?$'),
  constraint webhooks_keys_are_one_block check (octet_length(inner_key) = 64 and octet_length(outer_key) = 64)
);

alter table listener.webhooks enable row level security;
revoke all on table listener.webhooks from public, anon, authenticated, service_role;
