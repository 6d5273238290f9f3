-- listener.cancel_owned(owner, row_id) -> jsonb
-- Cancels an owner's session: a waiting one at once, with its credits back; a running one by asking its worker, who hears
-- of it at the next progress or heartbeat. Answers {"outcome": cancelled | requested | already, "refund"}; refund says what comes
-- back: all, or for a running one what its kind's cancel_refund says.
-- Locks:  the visible row, then the session, then the account.
-- Raises: SL002 session_unknown, also for other owners' sessions; SL003 transition_refused once it completed or failed.
create function listener.cancel_owned(p_owner uuid, p_row_id uuid)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_session uuid;
  v_status text;
  v_is_requested boolean;
  v_policy text;
  v_now timestamptz;
begin
  select session.id into v_session
  from listener.sessions as session
  where session.row_id = p_row_id and session.owner = p_owner
  order by session.finished_at nulls first
  limit 1;
  if v_session is null then
    raise exception 'session_unknown' using errcode = 'SL002';
  end if;
  perform listener.hold_rows(array[v_session], false);
  select
    session.status, session.cancel_requested_at is not null,
    (select policy.cancel_refund from listener.kinds as policy where policy.kind = session.kind)
  into v_status, v_is_requested, v_policy
  from listener.sessions as session
  where session.id = v_session
  for no key update;
  v_now := listener.clock();

  if v_status in ('completed', 'failed') then
    raise exception 'transition_refused' using errcode = 'SL003', detail = 'The session is ' || v_status || '.';
  elsif v_status = 'cancelled' or v_is_requested then
    return jsonb_build_object('outcome', 'already');
  elsif v_status = 'processing' then
    update listener.sessions as session set cancel_requested_at = v_now where session.id = v_session;
    return jsonb_build_object('outcome', 'requested', 'refund', v_policy);
  end if;
  update listener.sessions as session
  set status = 'cancelled', run_at = null, cancel_requested_at = v_now, finished_at = v_now, updated_at = v_now
  where session.id = v_session;
  perform listener.refund(array[v_session]);
  perform listener.project(array[v_session]);
  return jsonb_build_object('outcome', 'cancelled', 'refund', 'all');
end
$$;

revoke all on function listener.cancel_owned(uuid, uuid) from public, anon, authenticated;
grant execute on function listener.cancel_owned(uuid, uuid) to service_role;
