-- listener.queue_status_of(owner, row_id) -> jsonb
-- Where an owner's session stands: {"status", "position", "ahead", "is_more_ahead", "retry_in_s", "estimate_s",
-- "estimate_basis", "reason"}. position is 1 for the next to start and 0 once it runs; null with is_more_ahead when more than
-- 1000 are ahead, which are not counted further. estimate_s runs to the end of the session; null with a reason when it is
-- unknown: finished, waiting_to_retry, interrupted, queue_too_long, out_of_order, paused, own_limit, no_worker, no_measurements,
-- longer_than_usual.
-- A plan with a head start may still step in front.
-- Security definer: who may call this may not estimate for everybody.
-- Units: seconds.
-- Raises: SL002 session_unknown, also for other owners' sessions.
create function listener.queue_status_of(p_owner uuid, p_row_id uuid)
returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  v_session listener.sessions;
  v_ahead integer;
  v_estimate jsonb;
begin
  select session.* into v_session
  from listener.sessions as session
  where session.row_id = p_row_id and session.owner = p_owner
  order by session.finished_at nulls first
  limit 1;
  if v_session.id is null then
    raise exception 'session_unknown' using errcode = 'SL002';
  end if;

  v_ahead := case v_session.status
    when 'queued' then listener.count_ahead(v_session.kind, v_session.fair_tag, v_session.seq)
    when 'processing' then 0
  end;
  v_estimate := listener.estimate(v_session, v_ahead);
  return jsonb_build_object(
    'status', case v_session.status when 'delayed' then 'queued' else v_session.status end,
    'position', case when v_session.status = 'processing' then 0 when v_ahead <= 1000 then v_ahead + 1 end,
    'ahead', case when v_ahead > 1000 then 1000 else v_ahead end,
    'is_more_ahead', coalesce(v_ahead > 1000, false),
    'retry_in_s', case
      when v_session.status = 'delayed'
        then greatest(ceil(extract(epoch from v_session.run_at - listener.clock())), 0)::integer
    end
  ) || v_estimate;
end
$$;

revoke all on function listener.queue_status_of(uuid, uuid) from public, anon, authenticated;
grant execute on function listener.queue_status_of(uuid, uuid) to service_role;
