-- listener.artifacts
-- The files that an attempt saved. Only those of the attempt that settles count. facts: what the handler says of this one.
-- discarded_at: when its row was deleted; the object goes with the next cleaning (due_artifacts).
-- Units: width and height are pixels.
create table listener.artifacts (
  session uuid not null references listener.sessions (id) on delete cascade,
  attempt integer not null,
  name text not null,
  bucket text not null,
  path text not null,
  thumbnail_path text,
  width integer,
  height integer,
  size_bytes bigint not null,
  content_type text not null,
  url text,
  expires_at timestamptz,
  facts jsonb not null default '{}',
  discarded_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (session, attempt, name),
  constraint artifacts_path_stays_in_its_folder check (path !~ '(^|/)\.{1,2}(/|$)' and path !~ '^/'),
  constraint artifacts_size_is_not_negative check (size_bytes >= 0),
  constraint artifacts_facts_are_an_object check (jsonb_typeof(facts) = 'object')
);

create index artifacts_by_path on listener.artifacts (path);
create index artifacts_by_thumbnail on listener.artifacts (thumbnail_path) where thumbnail_path is not null;
create index artifacts_by_age on listener.artifacts (bucket, created_at);
create index artifacts_discarded on listener.artifacts (discarded_at) where discarded_at is not null;

alter table listener.artifacts enable row level security;
revoke all on table listener.artifacts from public, anon, authenticated, service_role;
grant select, insert, update on table listener.artifacts to service_role;
