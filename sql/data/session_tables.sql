-- rows of listener.session_tables
-- Our own tables come in by the same door as everybody's; their files name what users may insert.
select listener.watch('public.headshot_sessions', kind => 'headshot', credits => 1, insert_columns => '{}');
select listener.watch('public.generation_sessions', kind => 'tryon', credits => 1, insert_columns => '{}');
select listener.watch(
  'public.store_generation_sessions', kind => 'tryon', owner_column => 'store_id', credits => 1, insert_columns => '{}'
);

select listener.watch('public.avatar_sessions', kind => 'avatar', credits => 1, insert_columns => '{}');
select listener.watch(
  'public.store_avatar_sessions', kind => 'avatar', owner_column => 'store_id', credits => 1, insert_columns => '{}'
);

select listener.watch(
  'public.generation_jobs', kind => 'pack', credits => 1, columns => '{"finished_at": "completed_at"}', insert_columns => '{}'
);

update listener.session_tables as registry
set bucket = 'stores', folder = '{owner}/generated', tells_partner = true
where registry.relation = 'public.store_generation_sessions'::regclass;

update listener.session_tables as registry
set folder = '{owner}/generated', tells_partner = true
where registry.relation = 'public.store_avatar_sessions'::regclass;

update listener.session_tables as registry
set credits_column = 'image_count', folder = '{owner}/{character}'
where registry.relation = 'public.generation_jobs'::regclass;

update listener.session_tables set is_ours = true;
