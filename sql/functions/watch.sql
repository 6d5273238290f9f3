-- listener.watch(relation, kind, owner_column, credits, max_attempts, time_limit_s, bucket, id_column, columns, backfill, ...) -> jsonb
-- Makes the rows of any table sessions: adds what is missing, then tries every state on a probe row, and refuses by name what
-- cannot work; then nothing has changed. docs/adopting-a-table.md describes each argument and each refusal.
-- Its arguments bear no p_: people type their names. Left out: max_attempts, time_limit_s, bucket (the kind keeps its own, or
-- gets 3, 300, generated), id_column (the primary key), insert_columns (authenticated may insert all but state).
-- Answers {"id", "added", "published", "backfilled"}.
-- Locks:  the table, exclusively, until the transaction ends.
-- Raises: 55000 when the table is refused; PT402 is told as backfill_unpayable.
create function listener.watch(
  relation regclass, kind text, owner_column text default 'user_id', credits integer default 1,
  max_attempts integer default null, time_limit_s integer default null, bucket text default null,
  id_column text default null, columns jsonb default '{}', backfill boolean default false,
  rls_off_is_fine boolean default false, on_refund text default null,
  grant_select boolean default true, insert_columns text[] default null
)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_table listener.session_tables;
  v_added text[];
  v_backfilled integer := 0;
begin
  v_table.relation := watch.relation;
  v_table.kind := watch.kind;
  v_table.id_column := coalesce(watch.id_column, listener.key_column(watch.relation));
  v_table.owner_column := watch.owner_column;
  v_table.columns := listener.map_columns(watch.columns);
  v_table.credits := watch.credits;
  v_table.on_refund := watch.on_refund;
  perform listener.refuse_table(watch.relation, array(select listener.relation_misfits(v_table)));
  perform listener.hold_table(watch.relation);
  perform listener.refuse_table(watch.relation, array(
    select listener.column_misfits(v_table)
    union all select listener.index_misfits(v_table)
    union all select listener.access_misfits(v_table, watch.rls_off_is_fine, watch.grant_select)
    union all select listener.refund_misfits(v_table)
    union all select listener.kind_misfits(v_table, watch.max_attempts, watch.time_limit_s, watch.bucket)
  ));

  perform listener.set_kind(v_table.kind, watch.max_attempts, watch.time_limit_s, watch.bucket);
  v_added := listener.add_state_columns(v_table);
  v_table.id := listener.enter_table(v_table);
  perform listener.add_triggers(v_table);
  perform listener.grant_access(v_table, watch.grant_select, watch.insert_columns);
  perform listener.publish_table(v_table);
  perform listener.dry_run(v_table);
  if watch.backfill then
    v_backfilled := listener.backfill_rows(v_table);
  end if;
  return jsonb_build_object(
    'id', v_table.id,
    'added', v_added,
    'published', (select known.is_published_here from listener.session_tables as known where known.id = v_table.id),
    'backfilled', v_backfilled
  );
end
$$;

revoke all on function listener.watch(
  regclass, text, text, integer, integer, integer, text, text, jsonb, boolean, boolean, text, boolean, text[]
) from public, anon, authenticated, service_role;
