-- listener.claim_terms(worker, claim_id, kinds) -> (now, beat, models, is_limited, is_repeated)
-- On what terms a worker may claim: the number of its heartbeats (null without a lease that holds), the models it registered by
-- kind, whether anything limits how many sessions of an owner or of these kinds run at once, and whether the claim was made before.
-- Security definer: service_role may read only (id, beats) of the published table of workers.
create function listener.claim_terms(
  p_worker uuid, p_claim_id uuid, p_kinds text[],
  out now timestamptz, out beat bigint, out models jsonb, out is_limited boolean, out is_repeated boolean
)
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  now := listener.clock();
  select
    worker.beats, worker.devices -> 'models',
    exists (select from listener.plans as plan where plan.running_at_once is not null)
    or exists (select from listener.kinds as kind where kind.kind = any(p_kinds) and kind.running_at_once is not null),
    exists (
      select from listener.sessions as held
      where held.worker = p_worker and held.claim_id = p_claim_id and held.status = 'processing'
    )
  into beat, models, is_limited, is_repeated
  from (select p_worker as id) as asking
  left join listener.workers as worker
    on asking.id = worker.id and worker.expired_at is null and worker.lease_expires_at > now;
end
$$;

revoke all on function listener.claim_terms(uuid, uuid, text[]) from public, anon, authenticated;
grant execute on function listener.claim_terms(uuid, uuid, text[]) to service_role;
