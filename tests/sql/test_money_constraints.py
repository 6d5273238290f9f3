"""The constraints that guard credits, each by its name: what no function does, the database refuses by itself."""

from __future__ import annotations

from uuid import UUID

import asyncpg

from tests.sql.project import Project

ENTRY = "insert into listener.ledger (key, entry, owner, amount, session, reason) "
OTHER = UUID(int=7)
REFUSED = {
    "accounts_balance_is_not_negative": ["update listener.accounts set balance = -1"],
    "ledger_once_per_key": [
        ENTRY + "select key, entry, owner, amount, session, reason from listener.ledger where entry = 'charge' limit 1",
    ],
    "ledger_charge_takes_and_others_give": [
        ENTRY + f"select 'charge:{OTHER}', 'charge', owner, 1, '{OTHER}', 'x' from listener.accounts",
        ENTRY + f"select 'refund:{OTHER}', 'refund', owner, -1, '{OTHER}', 'x' from listener.accounts",
        ENTRY + "select 'grant:x', 'grant', owner, 0, null, 'x' from listener.accounts",
        ENTRY + "select 'gift:x', 'gift', owner, 1, null, 'x' from listener.accounts",
    ],
    "ledger_session_unless_grant": [
        ENTRY + f"select 'grant:x', 'grant', owner, 1, '{OTHER}', 'x' from listener.accounts",
        ENTRY + "select 'refund:x', 'refund', owner, 1, null, 'x' from listener.accounts",
    ],
    "ledger_key_names_the_session": [
        ENTRY + f"select 'refund:x', 'refund', owner, 1, '{OTHER}', 'x' from listener.accounts",
        ENTRY + f"select 'refund:{OTHER}', 'charge', owner, -1, '{OTHER}', 'x' from listener.accounts",
    ],
    "sessions_cost_is_not_negative": ["update listener.sessions set cost = -1"],
    "sessions_refund_is_part_of_the_cost": [
        "update listener.sessions set refund_due = 2 where status = 'completed'",
        "update listener.sessions set refund_due = -1 where status = 'completed'",
        "update listener.sessions set refund_due = 1 where status = 'queued'",
    ],
    "sessions_once_per_row": [
        "update listener.sessions set row_id = (select min(row_id::text)::uuid from listener.sessions)"
    ],
    "app_refunds_amount_is_positive": [
        "insert into listener.app_refunds (session, row_id, on_refund, amount, created_at, call_at) "
        f"values ('{OTHER}', '{OTHER}', 'f', 0, now(), now())",
    ],
    "app_refunds_pkey": [
        "insert into listener.app_refunds (session, row_id, on_refund, amount, created_at, call_at) "
        f"select '{OTHER}', '{OTHER}', 'f', 1, now(), now() from generate_series(1, 2)",
    ],
}


async def test_what_would_move_credits_wrongly_is_refused_by_name(project: Project, owner: UUID) -> None:
    await project.settle("complete_sessions", await project.held(owner=owner), result={})
    await project.insert(owner)
    said: dict[str, list[str | None]] = {name: [] for name in REFUSED}
    for name, attempts in REFUSED.items():
        for attempt in attempts:
            said[name].append(await refusal(project, attempt))
    assert said == {name: [name] * len(attempts) for name, attempts in REFUSED.items()}


async def refusal(project: Project, attempt: str) -> str | None:
    """The constraint that refuses a statement; None when it goes through."""
    transaction = project.connection.transaction()
    await transaction.start()
    try:
        # Without triggers, which refuse some of it before.
        await project.connection.execute(f"set local session_replication_role = replica; {attempt}")
    except asyncpg.IntegrityConstraintViolationError as error:
        return error.constraint_name
    finally:
        await transaction.rollback()
    return None
