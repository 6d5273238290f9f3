-- triggers of listener.session_tables
create trigger session_tables_bind after insert or delete or update of relation, id_column, columns on listener.session_tables
for each statement execute function listener.rebind_tables();

create trigger session_tables_mended after update of broken_at on listener.session_tables
for each row
when (old.broken_at is not null and new.broken_at is null)
execute function listener.rebind_tables();
