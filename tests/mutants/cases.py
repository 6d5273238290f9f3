"""The defects. Each is one exact replacement in one file of sql/, and names the test files that must see it."""

from __future__ import annotations

from dataclasses import replace

from tests.mutants.mutant import Mutant


def case(name: str, file: str, old: str, new: str, *tests: str) -> Mutant:
    """A case, its file without folder names repeated and its tests without `test_`."""
    return Mutant(name, f"{file}.sql", old, new, tuple(f"tests/sql/test_{test}.py" for test in tests))


FENCE = (
    case(
        "no fence: any attempt may write",
        "functions/fence",
        " or session.attempt is distinct from item.attempt then",
        " then",
        "complete_sessions",
    ),
    case(
        "no fence: any worker may write",
        "functions/fence",
        "session.worker is distinct from p_worker or session.attempt",
        "session.attempt",
        "report_progress",
    ),
    case(
        "no fence where nothing is locked first",
        "functions/complete_held",
        "held.attempt = item.attempt and held.worker = p_worker and held.status",
        "held.worker = p_worker and held.status",
        "complete_sessions",
    ),
    case(
        "what was read before the lock is believed",
        "functions/write_completed",
        " and session.xmin = coalesce(given.version, session.xmin)",
        "",
        "complete_sessions",
        "lock_order",
        "withdraw_sessions",
    ),
    case(
        "a settled session may be settled again",
        "functions/fence",
        "session.status = 'processing' and item.nth = 1",
        "item.nth = 1",
        "complete_sessions",
        "state_machine",
    ),
    case(
        "no terminal guard",
        "triggers/sessions",
        "(old.finished_at is not null and (new.status, new.refund_due) is distinct from "
        "(old.status, old.refund_due))\n  or ",
        "",
        "money",
    ),
    case(
        "the cost of a session may change",
        "triggers/sessions",
        "kind, owner, cost, tells_partner, variant on",
        "kind, owner, tells_partner, variant on",
        "money",
    ),
    case("the guard lets an attempt be lowered", "triggers/sessions", "or new.attempt < old.attempt\n", "\n", "money"),
    case(
        "a release lowers the attempt",
        "functions/requeue",
        "failures = session.failures + v_failure,",
        "failures = session.failures + v_failure, attempt = session.attempt - (not p_is_failure)::integer,",
        "release_sessions",
    ),
    case(
        "a release counts a failure",
        "functions/release_sessions",
        "listener.applied(v_outcomes), false)",
        "listener.applied(v_outcomes), true)",
        "release_sessions",
    ),
    case("a retry never ends", "functions/requeue", "failures + 1 >= held", "failures + 1 > held", "retry_sessions"),
    case(
        "a retry forgets that its owner cancelled",
        "functions/requeue",
        "when held.cancel_requested_at is not null then 'cancelled'\n",
        "",
        "retry_sessions",
        "cancel_session",
        "state_machine",
    ),
    case(
        "a retry does not wait",
        "functions/requeue",
        "when held.run_at > v_now then 'delayed'\n",
        "",
        "retry_sessions",
    ),
    case(
        "a retry is due before its time",
        "functions/promote_delayed",
        "and session.run_at <= (select listener.clock())",
        "",
        "retry_sessions",
        "sweep_sessions",
        "state_machine",
    ),
)

MONEY = (
    case(
        "nothing is charged",
        "functions/register_rows",
        "  perform listener.charge(v_sessions);\n",
        "",
        "register_sessions",
    ),
    case(
        "whoever cannot pay may insert",
        "functions/charge",
        "where account.balance < due.credits",
        "where account.balance < due.credits - 1",
        "register_sessions",
        "state_machine",
    ),
    case(
        "the welcome comes with every insert",
        "functions/welcome_accounts",
        " and account.welcomed_at is null and",
        " and",
        "money",
        "welcome_accounts",
    ),
    case(
        "accounts are not locked before their balance is read",
        "functions/open_accounts",
        "  order by account.owner\n  for no key update;",
        "  order by account.owner;",
        "register_sessions",
    ),
    case(
        "accounts are locked in another order",
        "functions/open_accounts",
        "  order by account.owner\n  for no key update;",
        "  order by account.owner desc\n  for no key update;",
        "register_sessions",
    ),
    case(
        "failing does not refund",
        "functions/fail_sessions",
        "  perform listener.refund(v_applied);\n",
        "",
        "fail_sessions",
    ),
    case(
        "cancelling does not refund",
        "functions/cancel_sessions",
        "  perform listener.refund(v_applied);\n",
        "",
        "cancel_session",
    ),
    case(
        "deleting does not refund",
        "functions/withdraw_sessions",
        "  perform listener.refund(v_open);\n",
        "",
        "withdraw_sessions",
    ),
    case(
        "a session is refunded twice",
        "functions/refund",
        "  return v_refunded + ",
        "  update listener.accounts as account set balance = account.balance + 1 from listener.sessions as session\n"
        "  where session.id = any(p_sessions) and account.owner = session.owner and v_refunded = 0;\n"
        "  return v_refunded + ",
        "money",
        "state_machine",
    ),
    case(
        "a refund gives more than was charged",
        "functions/refund",
        "session.owner, part.amount, session.id",
        "session.owner, part.amount + 1, session.id",
        "fail_sessions",
    ),
    case(
        "the refund of a part is not bounded",
        "functions/write_completed",
        "nullif(least(greatest(given.refund, 0), session.cost), 0)",
        "nullif(greatest(given.refund, 0), 0)",
        "refund",
    ),
    case(
        "a cancel gives all back whatever was delivered",
        "functions/cancel_share",
        "when policy.cancel_refund = 'all' or session.cost = 0 then null",
        "when true then null",
        "refund",
    ),
    case(
        "deleting a row is a way around the cancel policy",
        "functions/withdraw_sessions",
        "case when session.status = 'processing' then listener.cancel_share(session.id) end",
        "null",
        "refund",
    ),
    case(
        "a refund also for those that wait",
        "functions/refund",
        "when session.status in ('failed', 'cancelled') then coalesce",
        "when session.status in ('failed', 'cancelled', 'queued') then coalesce",
        "retry_sessions",
    ),
    case(
        "a refund that was made stops the next",
        "functions/refund",
        "on conflict (key) do nothing",
        "on conflict (id) do nothing",
        "money",
    ),
    case(
        "a grant counts twice",
        "functions/grant_credits",
        "coalesce(v_granted, 0)\n",
        "coalesce(v_granted, p_amount)\n",
        "money",
    ),
    case(
        "a grant's key is not unique",
        "functions/grant_credits",
        "'grant:' || p_key;",
        "'grant:' || gen_random_uuid();",
        "money",
    ),
    case(
        "the ledger can be rewritten",
        "triggers/ledger",
        "before update or delete or truncate",
        "before truncate",
        "money",
    ),
    case(
        "a session may be charged twice",
        "tables/ledger",
        "  constraint ledger_once_per_key unique (key),\n",
        "  constraint ledger_once_per_key unique (id, key),\n",
        "money",
    ),
)

AUDIT = (
    case(
        "the audit does not ask whose money it was",
        "views/invariants",
        "where money.charged_owner <> money.owner or money.refunded_owner <> money.owner",
        "where money.charged_owner <> money.owner",
        "invariants",
    ),
    case(
        "the audit overlooks what an app took",
        "views/invariants",
        "case when session.paid_by_app then 0 else session.cost end as cost",
        "session.cost",
        "invariants",
    ),
)

CLAIM = (
    case(
        "a claim waits for what others hold",
        "functions/due_of_kind",
        "        limit 1\n        for no key update of session skip locked",
        "        limit 1\n        for no key update of session",
        "claim_sessions",
        "lock_order",
    ),
    case(
        "a large claim waits for what others hold",
        "functions/due_of_kind",
        "        limit 10\n        for no key update of session skip locked",
        "        limit 10\n        for no key update of session",
        "claim_sessions",
        "lock_order",
    ),
    case(
        "a claim takes a row that somebody holds",
        "functions/take_branch",
        "for no key update of visible skip locked",
        "for no key update of visible",
        "claim_sessions",
        "lock_order",
    ),
    case(
        "a claim is out of turn",
        "functions/due_of_kind",
        "        order by session.fair_tag, session.seq\n        limit 10\n",
        "        order by session.seq\n        limit 10\n",
        "state_machine",
    ),
    case(
        "a repeated claim takes more",
        "functions/claim_terms",
        "where held.worker = p_worker and held.claim_id = p_claim_id and held.status = 'processing'\n",
        "where false\n",
        "claim_sessions",
    ),
    case(
        "a claim is not serialised with its repetition",
        "functions/claim_sessions",
        "  perform pg_advisory_xact_lock(hashtextextended(p_claim_id::text, 0));\n",
        "",
        "claim_sessions",
    ),
    case(
        "a worker without a lease claims",
        "functions/claim_terms",
        " and worker.lease_expires_at > now",
        "",
        "claim_sessions",
    ),
    case(
        "an owner's tag is not advanced",
        "functions/take_turns",
        "do update set last_tag = excluded.last_tag",
        "do update set last_tag = turns.last_tag",
        "turns",
    ),
    case("the paid plan has no head start", "functions/take_turns", " - place.head_start", "", "turns"),
    case(
        "virtual time is not advanced",
        "functions/claim_sessions",
        "  v_terms.beat := listener.advance_virtual_time(v_due, p_kinds);\n",
        "",
        "turns",
    ),
    case(
        "virtual time does not drift",
        "functions/advance_virtual_time",
        "stood.virtual_time + 0.05 * claimed.work",
        "stood.virtual_time",
        "turns",
    ),
    case(
        "kinds are merged by their names",
        "functions/due_sessions",
        "order by due.rank, stood.claimed_at nulls first, wanted.ord",
        "order by wanted.ord, due.rank",
        "turns",
    ),
    case(
        "one free slot takes the first kind for ever",
        "functions/due_sessions",
        "order by due.rank, stood.claimed_at nulls first, wanted.ord",
        "order by due.rank, wanted.ord",
        "turns",
    ),
    case(
        "a limit that is not set is a limit of none",
        "functions/check_rates",
        "allowance.sessions is not null and (",
        "(",
        "check_rates",
    ),
    case(
        "a session is locked before its row",
        "functions/fence",
        "  perform listener.hold_rows(v_sessions, false);\n",
        "  perform from listener.sessions as session where session.id = any(v_sessions) order by session.id\n"
        "  for no key update;\n  perform listener.hold_rows(v_sessions, false);\n",
        "lock_order",
    ),
)

LIMITS = (
    case(
        "inserts are counted before the account is locked",
        "functions/register_rows",
        "  perform listener.open_accounts(v_owners);\n"
        "  if p_is_limited then\n    perform listener.check_rates(v_owners);\n  end if;\n",
        "  if p_is_limited then\n    perform listener.check_rates(v_owners);\n  end if;\n"
        "  perform listener.open_accounts(v_owners);\n",
        "check_rates",
    ),
    case(
        "what runs is counted before other claims are kept away",
        "functions/due_within_limits",
        "  perform pg_advisory_xact_lock(hashtext('listener'), hashtext('running_at_once'));\n",
        "",
        "due_within_limits",
    ),
    case(
        "permits are counted before they are locked",
        "functions/acquire_permits",
        "  perform pg_advisory_xact_lock(hashtext('listener.permits'), hashtext(p_kind));\n",
        "",
        "acquire_permits",
    ),
    case(
        "newcomers are counted before the plan is locked",
        "functions/welcome_accounts",
        "  perform listener.lock_plans(v_guests);\n",
        "",
        "welcome_accounts",
    ),
)

LEASE = (
    case(
        "a beat does not renew the lease",
        "functions/renew_worker",
        ", lease_expires_at = listener.clock() + make_interval(secs => worker.lease_s)",
        "",
        "heartbeat",
        "sweep_sessions",
        "state_machine",
    ),
    case(
        "a long word of a worker costs it its lease",
        "functions/renew_worker",
        "left(p_state, 40)",
        "p_state",
        "heartbeat",
    ),
    case(
        "a worker that was given up beats on",
        "functions/renew_worker",
        " and worker.expired_at is null",
        "",
        "sweep_sessions",
    ),
    case(
        "a lost claim strands its sessions",
        "functions/heartbeat",
        "    perform listener.release_strays(p_worker, p_running, p_open_claims, v_beats - 1);\n",
        "",
        "heartbeat",
    ),
    case(
        "a beat releases what was just claimed",
        "functions/heartbeat",
        "p_open_claims, v_beats - 1)",
        "p_open_claims, v_beats + 1)",
        "heartbeat",
    ),
    case(
        "a beat releases what an open claim explains",
        "functions/release_strays",
        "      and session.claim_id <> all(coalesce(p_open_claims, '{}'))\n",
        "",
        "heartbeat",
    ),
    case(
        "the sweep takes from the living",
        "functions/expire_workers",
        "worker.lease_expires_at <= v_now",
        "worker.lease_expires_at <= v_now + interval '1 hour'",
        "sweep_sessions",
    ),
    case(
        "a rescued session keeps its worker's fence",
        "functions/rescue_sessions",
        "  update listener.sessions as session set worker = null where session.id = any(v_sessions);\n",
        "",
        "sweep_sessions",
    ),
    case(
        "the time limit has no grace",
        "functions/stop_overdue",
        "session.time_limit_s + kind.grace_s",
        "session.time_limit_s",
        "sweep_sessions",
    ),
    case(
        "everybody may set the clock",
        "functions/clock",
        "role.rolname = session_user and role.rolsuper",
        "role.rolsuper",
        "clock",
    ),
)

ROWS = (
    # The dry run of every state, which the migration itself goes through for our own table, sees this one.
    replace(
        case(
            "the version is not raised",
            "functions/write_branch",
            "%5$I = visible.%5$I + 1",
            "%5$I = visible.%5$I",
            "report_progress",
        ),
        refusal="public.headshot_sessions cannot be watched",
    ),
    case(
        "the version jumps",
        "functions/write_branch",
        "%5$I = visible.%5$I + 1",
        "%5$I = visible.%5$I + 2",
        "report_progress",
    ),
    case(
        "imported rows are charged",
        "functions/register_rows",
        "    where arriving.fields ->> (v_table.columns ->> 'status') = 'queued'\n",
        "",
        "register_sessions",
    ),
    case(
        "users set the state of their rows",
        "functions/reset_state",
        "  return jsonb_populate_record(new, tg_argv[0]::jsonb);",
        "  return new;",
        "register_sessions",
    ),
    case(
        "the state travels in the params",
        "functions/enter_sessions",
        "array(select pair.value from jsonb_each_text(p_table.columns) as pair) || array['variant']",
        "array['variant']",
        "register_sessions",
    ),
    case(
        "a session table can be truncated",
        "functions/refuse_truncate",
        "  raise exception 'a session table cannot be truncated' using\n"
        "    errcode = '0A000',\n"
        "    hint = 'Delete the rows: their sessions are cancelled and refunded then.';\n",
        "  return null;\n",
        "register_sessions",
        "withdraw_sessions",
        "project",
    ),
    case(
        "a broken table stops the others",
        "functions/show_states",
        "  perform listener.mark_broken(p_table_id, sqlstate || ' ' || sqlerrm);\n",
        "  raise;\n",
        "project",
    ),
    case(
        "artifacts of every attempt are shown",
        "views/visible_states",
        "where list.session = session.id and list.attempt = session.attempt",
        "where list.session = session.id",
        "add_artifacts",
    ),
)

DOORS = (
    case(
        "a user reads the rows of others",
        "policies/headshot_sessions",
        "for select to authenticated using ((select auth.uid()) = user_id)",
        "for select to authenticated using (true)",
        "roles",
    ),
    case(
        "a user inserts for others",
        "policies/headshot_sessions",
        "with check ((select auth.uid()) = user_id)",
        "with check (true)",
        "roles",
    ),
    case(
        "a user reads the files of others",
        "policies/storage_objects",
        "'uploads')\n  and split_part(name, '/', 1) = (select auth.uid())::text\n  and (bucket_id",
        "'uploads')\n  and (bucket_id",
        "roles",
    ),
    case(
        "a user uploads into the folders of others",
        "policies/storage_objects",
        "with check (\n  bucket_id = 'uploads' and split_part(name, '/', 1) = (select auth.uid())::text\n)",
        "with check (\n  bucket_id = 'uploads'\n)",
        "roles",
    ),
    case(
        "a user uploads among the results",
        "policies/storage_objects",
        "with check (\n  bucket_id = 'uploads' and",
        "with check (\n  bucket_id in ('uploads', 'generated', 'headshots') and",
        "roles",
    ),
    case(
        "a user removes the uploads of others",
        "policies/storage_objects",
        "for delete to authenticated using (\n"
        "  bucket_id = 'uploads' and split_part(name, '/', 1) = (select auth.uid())::text\n)",
        "for delete to authenticated using (bucket_id = 'uploads')",
        "strangers",
    ),
    case(
        "a user cancels the sessions of others",
        "functions/cancel_owned",
        "where session.row_id = p_row_id and session.owner = p_owner",
        "where session.row_id = p_row_id",
        "cancel_session",
    ),
    case(
        "the public may claim",
        "functions/claim_sessions",
        "grant execute on function public.claim_sessions(uuid, uuid, text[], integer) to service_role;",
        "grant execute on function public.claim_sessions(uuid, uuid, text[], integer) to service_role, anon;",
        "roles",
    ),
    case(
        "a function is left open",
        "functions/refund",
        "revoke all on function listener.refund(uuid[]) from public, anon, authenticated;\n",
        "",
        "roles",
    ),
    case(
        "a table is not secured by rows",
        "tables/sessions",
        "alter table listener.sessions enable row level security;\n",
        "",
        "roles",
    ),
    case(
        "users read the ledger",
        "tables/ledger",
        "grant select, insert on table listener.ledger to service_role;",
        "grant select, insert on table listener.ledger to service_role, authenticated;",
        "roles",
    ),
)

EVENTS = (
    case(
        "events happen twice",
        "tables/events",
        "primary key (session, event, occurrence)",
        "constraint events_have_an_occurrence check (occurrence is not null)",
        "record_events",
    ),
    case(
        "the starts of two attempts are not told apart",
        "functions/claim_sessions",
        "'generation_started', started.attempt::text,",
        "'generation_started', '',",
        "record_events",
    ),
    case(
        "a failure is not told",
        "functions/requeue",
        "  perform listener.record_events(p_sessions, 'generation_failed');\n",
        "",
        "record_events",
    ),
    case(
        "a retry is told as a failure",
        "functions/record_events",
        "p_event <> 'generation_failed' or session.status = 'failed'",
        "true",
        "record_events",
    ),
    case(
        "a completion is not told",
        "functions/write_completed",
        "where settled.records_events",
        "where false",
        "record_events",
    ),
    case(
        "a start is told though the kind records no events",
        "functions/claim_sessions",
        "    where started.records_events\n",
        "",
        "record_events",
    ),
    case(
        "what has artifacts is pruned",
        "functions/prune_sessions",
        "          and not exists (select from listener.artifacts as artifact where artifact.session = done.id)\n",
        "",
        "prune_finished",
    ),
    case(
        "two sweeps prune in one another's way",
        "functions/prune_sessions",
        "        order by done.finished_at\n        limit p_limit\n        for update skip locked",
        "        order by done.finished_at\n        limit p_limit\n        for update",
        "prune_finished",
    ),
)

WATCH = (
    case(
        "the app's own trigger has the last word about the state",
        "functions/add_triggers",
        "trigger zz_listener_reset",
        "trigger aa_listener_reset",
        "watch",
        "brownfield",
        "strangers",
    ),
    case(
        "users keep their right to update the state",
        "functions/narrow_updates",
        "    execute format('revoke update on table %s from %s', p_table.relation, v_role);\n",
        "",
        "watch",
        "watch_refusals",
        "brownfield",
    ),
    case(
        "the dry run walks as the worker alone",
        "functions/probe_walks",
        "    union\n    select pg_get_userbyid(routine.proowner) from pg_catalog.pg_proc as routine\n"
        "    where routine.pronamespace = 'listener'::regnamespace and routine.proname = 'withdraw_sessions'\n",
        "",
        "watch_refusals",
    ),
    case(
        "a mend lets sessions move meanwhile",
        "functions/mend",
        "  lock table listener.sessions in share row exclusive mode;\n",
        "",
        "mend",
    ),
    case(
        "a mend lets users write what shows the state now",
        "functions/mend",
        "    perform listener.narrow_updates(v_table);\n",
        "",
        "mend",
    ),
    case(
        "a mend leaves the reset with the old names",
        "functions/mend",
        "    perform listener.add_triggers(v_table);\n",
        "",
        "mend",
    ),
    case(
        "a table that lost its status takes rows and says nothing",
        "functions/register_rows",
        "not arriving ? (v_table.columns ->> 'status')",
        "false",
        "mend",
    ),
    case(
        "a mend shows the running sessions what they were",
        "functions/stale_sessions",
        "'session.status = ''processing'' or visible",
        "'visible",
        "mend",
    ),
)

TOLD = (
    case(
        "who waits for a silent worker is told a time",
        "functions/estimate_obstacle",
        "p_session.status = 'processing' and not listener.live_worker(p_session.worker)",
        "false",
        "queue_status",
    ),
    case(
        "a column that is gone is found by the first session that cannot be shown",
        "functions/fault_of_table",
        "when lost.columns is not null",
        "when false",
        "service_status",
        "survey_project",
    ),
)

WEBHOOKS = (
    case(
        "the signature leaves the timestamp out",
        "functions/send_webhooks",
        "format('%s.%s.%s', v_id, v_time, v_body)",
        "format('%s.%s', v_id, v_body)",
        "send_webhooks",
    ),
    case(
        "the hashes are nested the wrong way",
        "functions/webhook_signature",
        "sha256(p_webhook.outer_key || sha256(p_webhook.inner_key ||",
        "sha256(p_webhook.inner_key || sha256(p_webhook.outer_key ||",
        "send_webhooks",
    ),
    case(
        "each statement sends a webhook",
        "functions/send_webhooks",
        "strpos(v_already, format('<%s>', p_relation)) > 0 or ",
        "",
        "send_webhooks",
    ),
    case(
        "what was sent stays sent in the session",
        "functions/send_webhooks",
        "p_relation), true);",
        "p_relation), false);",
        "send_webhooks",
    ),
    case(
        "a webhook that cannot be sent stops the insert",
        "functions/send_webhooks",
        "      raise warning 'listener: no webhook was sent to %: % (%)', v_hook.url, sqlerrm, sqlstate;",
        "      raise;",
        "send_webhooks",
    ),
    case(
        "the keys are readable",
        "tables/webhooks",
        "revoke all on table listener.webhooks from public, anon, authenticated, service_role;",
        "grant select on table listener.webhooks to service_role;",
        "send_webhooks",
    ),
    case(
        "rows that are no sessions are announced",
        "functions/register_sessions",
        " > 0 then",
        " >= 0 then",
        "send_webhooks",
    ),
)

CASES: tuple[Mutant, ...] = (
    *(FENCE + MONEY + AUDIT + CLAIM + LIMITS + LEASE),
    *(ROWS + DOORS + EVENTS + WATCH + TOLD + WEBHOOKS),
)
