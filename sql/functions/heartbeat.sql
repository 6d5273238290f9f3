-- public.heartbeat(worker, running, open_claims, state) -> jsonb
-- Renews the worker's lease, and with it all its sessions. Answers {"known", "cancel", "lost", "tables", "promoted",
-- "schema_version", "oldest_worker"}: sessions whose owner wants them cancelled, and listed attempts that are no longer
-- the worker's. known = false: register again.
-- The state is for `listener status`: claiming, draining, rejected, or paused and by what. Older workers send none.
-- What the database holds for the worker but the worker does not know, because a claim's answer was lost, is released.
-- Locks:  the worker's row, then visible rows and sessions, skip locked.
create function public.heartbeat(p_worker uuid, p_running jsonb, p_open_claims uuid[], p_state text default null)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_beats bigint;
  v_kinds text[];
  v_promoted integer := 0;
begin
  select renewed.beats, renewed.kinds into v_beats, v_kinds from listener.renew_worker(p_worker, p_state) as renewed;
  if v_beats is not null then
    perform listener.release_strays(p_worker, p_running, p_open_claims, v_beats - 1);
    v_promoted := listener.promote_delayed(100);
  end if;
  return jsonb_build_object(
    'known', v_beats is not null,
    'cancel', public.requested_cancels(p_worker),
    'lost', (
      select coalesce(jsonb_agg(jsonb_build_object('session', item.session, 'attempt', item.attempt)), '[]')
      from jsonb_to_recordset(p_running) as item (session uuid, attempt integer)
      where not exists (
        select from listener.sessions as session
        where
          session.id = item.session and session.attempt = item.attempt
          and session.worker = p_worker and session.status = 'processing'
      )
    ),
    'tables', listener.served_tables(coalesce(v_kinds, '{}')),
    'promoted', v_promoted,
    'schema_version', listener.schema_version(),
    'oldest_worker', listener.oldest_worker()
  );
end
$$;

revoke all on function public.heartbeat(uuid, jsonb, uuid[], text) from public, anon, authenticated;
grant execute on function public.heartbeat(uuid, jsonb, uuid[], text) to service_role;
