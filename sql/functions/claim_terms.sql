-- listener.claim_terms(worker, kinds) -> (now, beat, models, is_limited)
-- On what terms a worker may claim: the number of its heartbeats (null without a lease that holds), the models it registered by
-- kind, and whether anything limits how many sessions of an owner or of these kinds run at once.
-- Security definer: service_role may read only (id, beats) of the published table of workers.
create function listener.claim_terms(
  p_worker uuid, p_kinds text[], out now timestamptz, out beat bigint, out models jsonb, out is_limited boolean
)
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  now := listener.clock();
  select
    worker.beats, worker.devices -> 'models',
    exists (select from listener.plans as plan where plan.running_at_once is not null)
    or exists (select from listener.kinds as kind where kind.kind = any(p_kinds) and kind.running_at_once is not null)
  into beat, models, is_limited
  from listener.workers as worker
  where worker.id = p_worker and worker.expired_at is null and worker.lease_expires_at > now;
end
$$;

revoke all on function listener.claim_terms(uuid, text[]) from public, anon, authenticated;
grant execute on function listener.claim_terms(uuid, text[]) to service_role;
