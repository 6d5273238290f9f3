-- listener.turns
-- Where an owner's last session of a kind stands in the kind's virtual time; written only while the owner's account is locked.
create table listener.turns (
  owner uuid not null references listener.accounts (owner),
  kind text not null references listener.kinds (kind),
  last_tag double precision not null,
  primary key (owner, kind)
) with (fillfactor = 70);

create index turns_by_kind on listener.turns (kind);

alter table listener.turns enable row level security;
revoke all on table listener.turns from public, anon, authenticated, service_role;
grant select on table listener.turns to service_role;
