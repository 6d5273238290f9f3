-- rows of listener.retentions
-- Six hours are what the address of a clip is good for. VIDEO_RETENTION_HOURS of a worker says otherwise (set_retention).
insert into listener.retentions (bucket, keep_hours)
values ('videos', 6);
