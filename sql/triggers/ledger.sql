-- triggers of listener.ledger
create trigger ledger_guard before update or delete or truncate on listener.ledger
for each statement execute function listener.guard_ledger();
