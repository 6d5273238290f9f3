-- triggers of listener.sessions
create trigger sessions_guard before update on listener.sessions
for each row
when (
  (old.status in ('completed', 'failed', 'cancelled') and (new.status, new.refund_due) is distinct from (old.status, old.refund_due))
  or new.attempt < old.attempt
  or new.failures < old.failures
  or (new.id, new.table_id, new.row_id, new.kind, new.owner, new.cost, new.tells_partner, new.variant)
  is distinct from (old.id, old.table_id, old.row_id, old.kind, old.owner, old.cost, old.tells_partner, old.variant)
)
execute function listener.guard_session();

create trigger sessions_tell_partner after update on listener.sessions
for each row
when (new.tells_partner and old.finished_at is null and new.finished_at is not null)
execute function listener.record_delivery();
