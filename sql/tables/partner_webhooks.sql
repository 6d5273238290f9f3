-- listener.partner_webhooks
-- Where a store wants to hear of its finished sessions, and the secrets that sign it: several while one replaces another, each
-- signs. `active_at`: sessions that finish later are told. `changed_at`: what an older address answered does not concern it.
create table listener.partner_webhooks (
  store uuid primary key references public.stores (id) on delete cascade,
  url text not null,
  secrets text[] not null,
  active boolean not null,
  active_at timestamptz not null,
  changed_at timestamptz not null,
  constraint partner_webhooks_go_over_http check (url ~ '^https?://[^\s/?#@]+(/[^\s#]*)?$' and char_length(url) <= 2048),
  constraint partner_webhooks_have_one_to_three_secrets check (
    array_ndims(secrets) = 1 and cardinality(secrets) between 1 and 3
  ),
  constraint partner_webhooks_secrets_are_standard check (
    array_to_string(secrets, ' ', '') ~ '^whsec_[A-Za-z0-9+/]{32,86}={0,2}( whsec_[A-Za-z0-9+/]{32,86}={0,2})*$'
  )
);

alter table listener.partner_webhooks enable row level security;
revoke all on table listener.partner_webhooks from public, anon, authenticated, service_role;
grant select, insert, update on table listener.partner_webhooks to service_role;
