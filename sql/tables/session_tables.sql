-- listener.session_tables
-- The visible tables whose rows are sessions. `columns` maps our name of a state column to the table's own;
-- a name that is absent is not written. A table whose projection fails is marked broken and skipped until it is mended.
-- Rows come and go by listener.watch and listener.unwatch alone. on_refund is the signature of a function of an app that
-- has a credit system of its own: see app_refunds. is_published_here: watch put the table into the publication.
-- bucket, folder: where the artifacts of these rows lie; a null bucket is the kind's, {owner} in folder is the row's owner,
-- {character} its character_id.
-- is_ours: our migration made it, so a deleted user's rows may be deleted from it.
-- tells_partner: its owners are stores, whose webhooks hear of the end of its sessions.
-- Units: credits is what one row costs, with credits_column as often as that column of the row says; with on_refund, what the
--        app itself took for it.
create table listener.session_tables (
  id integer generated always as identity primary key,
  relation regclass not null,
  kind text not null references listener.kinds (kind),
  id_column text not null default 'id',
  owner_column text not null default 'user_id',
  columns jsonb not null default '{
    "status": "status", "progress": "progress", "message": "message", "error_code": "error_code",
    "error_message": "error_message", "error_details": "error_details", "result": "result", "version": "version",
    "started_at": "started_at", "finished_at": "finished_at", "updated_at": "updated_at"
  }',
  credits integer not null default 1,
  credits_column text,
  broken_at timestamptz,
  broken_reason text,
  on_refund text,
  is_published_here boolean not null default false,
  bucket text,
  folder text not null default '{owner}',
  tells_partner boolean not null default false,
  is_ours boolean not null default false,
  constraint session_tables_once_per_relation unique (relation),
  constraint session_tables_credits_are_not_negative check (credits >= 0),
  constraint session_tables_columns_have_status_and_version check (columns ?& array['status', 'version']),
  constraint session_tables_folder_is_a_plain_path check (folder ~ '^\{owner\}(/([a-z0-9_-]{1,64}|\{character\}))*$'),
  constraint session_tables_broken_with_reason check ((broken_at is null) = (broken_reason is null))
);

create index session_tables_by_kind on listener.session_tables (kind);

alter table listener.session_tables enable row level security;
revoke all on table listener.session_tables from public, anon, authenticated, service_role;
grant select on table listener.session_tables to service_role;
grant update (broken_at, broken_reason) on table listener.session_tables to service_role;
