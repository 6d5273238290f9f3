"""The views that must be empty: each kind of damage is found, by its name and no other."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import UUID

from tests.sql.project import Project

VIEW = Path(__file__).parents[2] / "sql" / "views" / "invariants.sql"
STRANGER = UUID(int=1)
DAMAGE: dict[str, tuple[str, frozenset[str]]] = {}
HOOK = (
    "insert into listener.partner_webhooks (store, url, secrets, active, active_at, changed_at) "
    "select owner, 'https://partner.test/', array[listener.new_secret()], true, '2000-01-01', '2000-01-01' "
    "from listener.sessions where status = 'completed'; "
)


def damage(what: str, sql: str, *invariants: str) -> None:
    DAMAGE[what] = (sql, frozenset(invariants))


def entry(kind: str, status: str) -> str:
    """The condition that chooses a session's ledger entry."""
    return f"entry = '{kind}' and session = (select id from listener.sessions where status = '{status}')"


def refund(session: str) -> str:
    """A refund of one credit that is booked in full, for the session that this expression gives."""
    return (
        "insert into listener.ledger (key, entry, owner, amount, session, reason) "
        "select 'refund:' || s.id, 'refund', account.owner, 1, s.id, 'x' "
        f"from ({session}) as s cross join listener.accounts as account; "
        "update listener.accounts set balance = balance + 1"
    )


damage(
    "a balance that nobody booked",
    "update listener.accounts set balance = balance + 1",
    "balance_is_the_sum_of_the_ledger",
)
damage(
    "a balance below nought",
    "alter table listener.accounts drop constraint accounts_balance_is_not_negative; "
    "insert into listener.ledger (key, entry, owner, amount, session, reason) "
    f"select 'charge:{STRANGER}', 'charge', owner, -100, '{STRANGER}', 'x' from listener.accounts; "
    "update listener.accounts set balance = balance - 100",
    "balance_is_not_negative",
)
damage(
    "a charge that is missing",
    f"delete from listener.ledger where {entry('charge', 'completed')}; "
    "update listener.accounts set balance = balance + 1",
    "a_session_is_charged_its_cost_once",
)
damage(
    "a charge of more than the cost",
    f"update listener.ledger set amount = -2 where {entry('charge', 'queued')}; "
    "update listener.accounts set balance = balance - 1",
    "a_session_is_charged_its_cost_once",
)
damage(
    "a charge of what the app took",
    "update listener.sessions set paid_by_app = true where status = 'queued'",
    "a_session_is_charged_its_cost_once",
)
damage(
    "a refund that is missing",
    f"delete from listener.ledger where {entry('refund', 'failed')}; "
    "update listener.accounts set balance = balance - 1",
    "failed_and_cancelled_are_refunded",
)
damage(
    "a refund before the end",
    refund("select id from listener.sessions where status = 'processing'"),
    "open_is_not_refunded_and_completed_only_in_part",
)
damage(
    "a refund of what was delivered",
    refund("select id from listener.sessions where status = 'completed'"),
    "open_is_not_refunded_and_completed_only_in_part",
)
damage("a refund of nothing", refund(f"select '{STRANGER}'::uuid as id"), "a_refund_follows_its_charge")
damage(
    "a refund to somebody else",
    f"insert into listener.accounts (owner, balance) values ('{STRANGER}', 1); "
    f"update listener.ledger set owner = '{STRANGER}' where {entry('refund', 'failed')}; "
    f"update listener.accounts set balance = balance - 1 where owner <> '{STRANGER}'",
    "money_moves_on_the_account_of_the_sessions_owner",
)
damage(
    "a charge to somebody else",
    f"insert into listener.accounts (owner) values ('{STRANGER}'); "
    "insert into listener.ledger (key, entry, owner, amount, reason) "
    f"values ('grant:x', 'grant', '{STRANGER}', 1, 'x'); "
    f"update listener.ledger set owner = '{STRANGER}' where {entry('charge', 'queued')}; "
    f"update listener.accounts set balance = balance + 1 where owner <> '{STRANGER}'",
    "money_moves_on_the_account_of_the_sessions_owner",
)
damage(
    "an app that owes and does not know it",
    "delete from listener.ledger where session = (select id from listener.sessions where status = 'failed'); "
    "update listener.sessions set paid_by_app = true where status = 'failed'",
    "what_the_app_took_is_owed_or_given_back_by_the_app",
)
damage(
    "a session of a table that nobody watches",
    "update listener.sessions set table_id = 0 where status = 'queued'",
    "what_is_open_belongs_to_a_watched_table",
)
damage(
    "a session that runs on no worker",
    f"update listener.sessions set worker = '{STRANGER}' where status = 'processing'",
    "processing_belongs_to_a_registered_worker",
)
damage(
    "a partner who is not told",
    HOOK + "update listener.sessions set tells_partner = true where status = 'completed'",
    "what_finished_after_its_webhook_was_active_has_a_delivery",
)
damage(
    "a partner who is told another end",
    HOOK + "insert into listener.deliveries (session, store, event, next_at, created_at) "
    "select id, owner, 'session.failed', now(), now() from listener.sessions where status = 'completed'",
    "a_delivery_tells_how_its_session_ended",
)
damage(
    "a variant that was not drawn",
    "update listener.sessions set variant = 'b' where status = 'completed'",
    "a_session_shows_the_variant_that_its_worker_was_given",
)


async def test_every_damage_is_found_by_its_name(project: Project, owner: UUID) -> None:
    worker = await project.worker()
    for function in ("complete_sessions", "fail_sessions"):
        assert await project.settle(function, await project.held(worker, owner), code="x") == ("applied", None)
    await project.held(worker, owner)
    await project.insert(owner)
    found = {}
    for what, (sql, _) in DAMAGE.items():
        transaction = project.connection.transaction()
        await transaction.start()
        # Without triggers, which keep most of it from happening at all.
        await project.connection.execute(f"set local session_replication_role = replica; {sql}")
        rows = await project.rows("select invariant from listener.invariants")
        found[what] = frozenset(row["invariant"] for row in rows)
        await transaction.rollback()
    assert found == {what: invariants for what, (_, invariants) in DAMAGE.items()}


def test_no_promise_is_without_a_damage() -> None:
    declared = re.findall(r"'(\w+)' as invariant", VIEW.read_text(encoding="utf-8"))
    seeded = frozenset[str]().union(*(invariants for _, invariants in DAMAGE.values()))
    assert frozenset(declared) == seeded
