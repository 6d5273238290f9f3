-- triggers of public.headshot_sessions
-- For each statement wherever money moves: per row, one owner's bulk insert costs quadratic time.
create trigger headshot_sessions_reset before insert on public.headshot_sessions
for each row execute function listener.reset_state('{
  "status": "queued", "progress": 0, "message": null, "error_code": null, "error_message": null, "error_details": null,
  "result": null, "version": 0, "started_at": null, "finished_at": null
}');

create trigger headshot_sessions_register after insert on public.headshot_sessions
referencing new table as new_rows
for each statement execute function listener.register_sessions();

create trigger headshot_sessions_withdraw after delete on public.headshot_sessions
referencing old table as old_rows
for each statement execute function listener.withdraw_sessions();

create trigger headshot_sessions_refuse_truncate before truncate on public.headshot_sessions
for each statement execute function listener.refuse_truncate();
