-- triggers of listener.sessions
-- Each names its columns: the condition of one that an update does not concern is not even read from the catalog.
create trigger sessions_guard before update of status, refund_due, attempt, failures on listener.sessions
for each row
when (
  (old.finished_at is not null and (new.status, new.refund_due) is distinct from (old.status, old.refund_due))
  or new.attempt < old.attempt
  or new.failures < old.failures
)
execute function listener.guard_session();

create trigger sessions_identity before update of id, table_id, row_id, kind, owner, cost, tells_partner, variant on listener.sessions
for each row
when (
  (new.id, new.table_id, new.row_id, new.kind, new.owner, new.cost, new.tells_partner, new.variant)
  is distinct from (old.id, old.table_id, old.row_id, old.kind, old.owner, old.cost, old.tells_partner, old.variant)
)
execute function listener.guard_session();

create trigger sessions_tell_partner after update of finished_at on listener.sessions
for each row
when (new.tells_partner and old.finished_at is null and new.finished_at is not null)
execute function listener.record_delivery();
