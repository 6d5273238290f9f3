-- listener.invariants
-- Whatever contradicts the promises of the design, by name. Must always be empty; checked after every fault.
create view listener.invariants
with (security_invoker = true) as
with money as (
  select
    session.id,
    session.owner,
    session.status,
    case when session.paid_by_app then 0 else session.cost end as cost,
    case
      when session.paid_by_app then 0
      when session.status = 'completed' then coalesce(session.refund_due, 0)
      when session.status in ('failed', 'cancelled') then coalesce(session.refund_due, session.cost)
      else 0
    end as owed,
    charge.amount as charged,
    charge.owner as charged_owner,
    refund.amount as refunded,
    refund.owner as refunded_owner
  from listener.sessions as session
  left join listener.ledger as charge on charge.key = 'charge:' || session.id::text
  left join listener.ledger as refund on refund.key = 'refund:' || session.id::text
)

select
  'balance_is_the_sum_of_the_ledger' as invariant,
  audit.owner as subject
from listener.credit_audit as audit
union all
select
  'balance_is_not_negative' as invariant,
  account.owner as subject
from listener.accounts as account
where account.balance < 0
union all
select
  'a_session_is_charged_its_cost_once' as invariant,
  money.id as subject
from money
where coalesce(-money.charged, 0) <> money.cost
union all
select
  'failed_and_cancelled_are_refunded' as invariant,
  money.id as subject
from money
where money.status in ('failed', 'cancelled') and coalesce(money.refunded, 0) <> money.owed
union all
select
  'open_is_not_refunded_and_completed_only_in_part' as invariant,
  money.id as subject
from money
where money.status not in ('failed', 'cancelled') and coalesce(money.refunded, 0) <> money.owed
union all
select
  'a_refund_follows_its_charge' as invariant,
  refund.session as subject
from listener.ledger as refund
left join listener.ledger as charge on charge.key = 'charge:' || refund.session::text
where refund.entry = 'refund' and (charge.id is null or refund.amount > -charge.amount)
union all
select
  'money_moves_on_the_account_of_the_sessions_owner' as invariant,
  money.id as subject
from money
where money.charged_owner <> money.owner or money.refunded_owner <> money.owner
union all
select
  'what_the_app_took_is_owed_or_given_back_by_the_app' as invariant,
  session.id as subject
from listener.sessions as session
left join listener.app_refunds as refund on session.id = refund.session
where
  session.paid_by_app
  and coalesce(refund.amount, 0) <> case
    when session.status = 'completed' then coalesce(session.refund_due, 0)
    when session.status in ('failed', 'cancelled') then coalesce(session.refund_due, session.cost)
    else 0
  end
union all
select
  'what_is_open_belongs_to_a_watched_table' as invariant,
  session.id as subject
from listener.sessions as session
left join listener.session_tables as registry on session.table_id = registry.id
where session.finished_at is null and registry.id is null
union all
select
  'processing_belongs_to_a_registered_worker' as invariant,
  session.id as subject
from listener.sessions as session
left join listener.workers as worker on session.worker = worker.id
where session.status = 'processing' and worker.id is null
union all
select
  'what_finished_after_its_webhook_was_active_has_a_delivery' as invariant,
  session.id as subject
from listener.sessions as session
inner join listener.partner_webhooks as hook on session.owner = hook.store and session.finished_at > hook.active_at
left join listener.deliveries as delivery on session.id = delivery.session
where
  session.tells_partner and hook.active and delivery.id is null
  and session.finished_at > (select listener.clock()) - interval '30 days'
union all
select
  'a_delivery_tells_how_its_session_ended' as invariant,
  delivery.session as subject
from listener.deliveries as delivery
inner join listener.sessions as session on delivery.session = session.id
where delivery.event <> 'session.' || session.status or delivery.store <> session.owner
union all
select
  'a_session_shows_the_variant_that_its_worker_was_given' as invariant,
  session.id as subject
from listener.sessions as session
where session.variant is distinct from session.params -> 'variant' ->> 'name';

revoke all on table listener.invariants from public, anon, authenticated, service_role;
grant select on table listener.invariants to service_role;
