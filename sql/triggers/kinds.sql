-- triggers of listener.kinds
create trigger kinds_start_virtual_time after insert on listener.kinds
for each row execute function listener.start_virtual_time();
