-- public.refund_session(session) -> jsonb
-- Makes sure that a failed or cancelled session's credits went back; settling has done so already. Answers {"refunded", "outcome"}.
-- Locks:  the session, then the account.
-- Raises: SL002 session_unknown; SL003 transition_refused while it is open or when it completed: goodwill is a grant.
create function public.refund_session(p_session uuid)
returns jsonb
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
  v_status text;
  v_refunded integer;
begin
  select session.status into v_status
  from listener.sessions as session
  where session.id = p_session
  for no key update;
  if v_status is null then
    raise exception 'session_unknown' using errcode = 'SL002';
  elsif v_status not in ('failed', 'cancelled') then
    raise exception 'transition_refused' using errcode = 'SL003', detail = 'The session is ' || v_status || '.';
  end if;
  v_refunded := listener.refund(array[p_session]);
  return jsonb_build_object(
    'refunded', v_refunded, 'outcome', case when v_refunded > 0 then 'applied' else 'already' end
  );
end
$$;

revoke all on function public.refund_session(uuid) from public, anon, authenticated;
grant execute on function public.refund_session(uuid) to service_role;
