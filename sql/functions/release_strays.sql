-- listener.release_strays(worker, running, open_claims, beats)
-- Releases what the worker holds without knowing it: neither listed as running nor explained by an open claim.
-- A session claimed since the heartbeat before this one is left alone: this heartbeat may have been written before the claim.
-- Locks:  visible rows, then sessions; skip locked.
create function listener.release_strays(p_worker uuid, p_running jsonb, p_open_claims uuid[], p_beats bigint)
returns void
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_strays uuid[];
begin
  v_strays := array(
    select session.id
    from listener.sessions as session
    where
      session.worker = p_worker and session.status = 'processing' and session.claimed_beat < p_beats
      and session.claim_id <> all(coalesce(p_open_claims, '{}'))
      and not exists (
        select from jsonb_to_recordset(p_running) as item (session uuid, attempt integer)
        where item.session = session.id and item.attempt = session.attempt
      )
  );
  v_strays := listener.hold_sessions(v_strays);
  v_strays := array(
    select session.id from listener.sessions as session
    where session.id = any(v_strays) and session.worker = p_worker and session.claimed_beat < p_beats
  );
  perform listener.requeue(v_strays, false);
  update listener.sessions as session set worker = null where session.id = any(v_strays);
end
$$;

revoke all on function listener.release_strays(uuid, jsonb, uuid[], bigint) from public, anon, authenticated;
grant execute on function listener.release_strays(uuid, jsonb, uuid[], bigint) to service_role;
