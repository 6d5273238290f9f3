-- triggers of listener.artifacts
create trigger artifacts_stored after insert on listener.artifacts
referencing new table as new_artifacts
for each statement execute function listener.record_stored();
