-- listener.variants
-- Tests of prompts and models: a session of the kind gets one of its active variants, drawn by its id, in proportion to the shares.
-- The handler reads overrides from the key `variant` of the params. Changed with plain SQL; holds from the next insert on.
create table listener.variants (
  kind text not null references listener.kinds (kind),
  name text not null,
  share numeric not null default 1,
  overrides jsonb not null default '{}',
  active boolean not null default true,
  primary key (kind, name),
  constraint variants_name_is_a_label check (name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$'),
  constraint variants_share_is_positive check (share > 0 and share <= 1000000),
  constraint variants_overrides_are_an_object check (jsonb_typeof(overrides) = 'object')
);

alter table listener.variants enable row level security;
revoke all on table listener.variants from public, anon, authenticated, service_role;
grant select on table listener.variants to service_role;
