"""What the ledger promises: each entry once, never changed, and the balance is their sum."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.conftest import Opener
from tests.sql.project import Project


async def grant(project: Project, owner: UUID, amount: int = 5, key: str = "order-1") -> Any:
    return await project.answer("grant_credits", p_owner=owner, p_amount=amount, p_key=key, p_reason="bought")


async def balance_as(project: Project, user: UUID) -> int:
    async with project.acting("authenticated", user) as connection:
        return int(await connection.fetchval("select public.credit_balance()"))


async def test_a_grant_happens_once_per_key(project: Project, owner: UUID) -> None:
    assert await grant(project, owner) == {"balance": 15, "outcome": "applied"}
    assert await grant(project, owner) == {"balance": 15, "outcome": "already"}
    assert await grant(project, owner, key="order-2") == {"balance": 20, "outcome": "applied"}


async def test_the_same_grant_at_the_same_time_happens_once(project: Project, owner: UUID, another: Opener) -> None:
    projects = [await another() for _ in range(5)]
    answers = await asyncio.gather(*(grant(opened, owner) for opened in projects))
    assert sorted(answer["outcome"] for answer in answers) == ["already"] * 4 + ["applied"]
    assert await project.balance(owner) == 15


async def test_a_key_cannot_be_used_for_another_grant(project: Project, owner: UUID) -> None:
    await grant(project, owner)
    for who, amount in ((uuid4(), 5), (owner, 6)):
        with pytest.raises(asyncpg.PostgresError, match="transition_refused") as refused:
            await grant(project, who, amount)
        assert refused.value.sqlstate == "SL003"
    assert await project.balance(owner) == 15


@pytest.mark.parametrize("amount", [0, -5, 1_000_001, None])
async def test_only_sane_amounts_are_granted(project: Project, owner: UUID, amount: int | None) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError):
        await project.answer("grant_credits", p_owner=owner, p_amount=amount, p_key="k", p_reason="r")


async def test_the_balance_shows_the_welcome_before_the_first_session(project: Project, owner: UUID) -> None:
    assert await balance_as(project, owner) == 10
    await project.insert(owner, 4)
    assert await balance_as(project, owner) == 6


async def test_the_welcome_comes_once(project: Project, owner: UUID, another: Opener) -> None:
    projects = [await another() for _ in range(5)]
    await asyncio.gather(*(opened.insert(owner) for opened in projects))
    assert (await project.entries(owner)).count("grant") == 1
    assert await project.balance(owner) == 5


async def test_a_refund_that_settling_made_is_not_made_again(project: Project, owner: UUID) -> None:
    held = await project.held(owner=owner)
    await project.settle("fail_sessions", held, code="generation_failed")
    for _ in range(2):
        answer = await project.answer("refund_session", p_session=held.session)
        assert answer == {"refunded": 0, "outcome": "already"}
    assert await project.balance(owner) == 10


async def test_a_refund_that_was_missing_is_made(project: Project, owner: UUID) -> None:
    held = await project.held(owner=owner)
    await project.connection.execute(
        "update listener.sessions set status = 'failed', error_code = 'x', finished_at = now() where id = $1",
        held.session,
    )
    broken = {row["invariant"] for row in await project.rows("select invariant from listener.invariants")}
    assert broken == {"failed_and_cancelled_are_refunded"}
    answer = await project.answer("refund_session", p_session=held.session)
    assert answer == {"refunded": 1, "outcome": "applied"}
    await project.connection.execute(
        "select listener.project(array[$1::uuid]), listener.record_events(array[$1], 'generation_failed')", held.session
    )


async def test_open_and_completed_sessions_are_not_refunded(project: Project, owner: UUID) -> None:
    held = await project.held(owner=owner)
    for _ in range(2):
        with pytest.raises(asyncpg.PostgresError) as refused:
            await project.answer("refund_session", p_session=held.session)
        assert refused.value.sqlstate == "SL003"
        await project.settle("complete_sessions", held, result={})
    with pytest.raises(asyncpg.PostgresError) as refused:
        await project.answer("refund_session", p_session=uuid4())
    assert refused.value.sqlstate == "SL002"


@pytest.mark.parametrize("change", ["update listener.ledger set amount = 9", "delete from listener.ledger"])
async def test_the_ledger_is_only_added_to(project: Project, owner: UUID, change: str) -> None:
    await project.insert(owner)
    with pytest.raises(asyncpg.PostgresError) as refused:
        await project.connection.execute(change)
    assert refused.value.sqlstate == "SL003"


async def test_the_audit_sees_a_balance_that_nobody_booked(project: Project, owner: UUID) -> None:
    await project.insert(owner)
    await project.connection.execute("update listener.accounts set balance = balance + 1")
    assert [row["owner"] for row in await project.rows("select owner from listener.credit_audit")] == [owner]
    await project.connection.execute("update listener.accounts set balance = balance - 1")


async def test_a_terminal_state_is_never_left(project: Project, owner: UUID) -> None:
    held = await project.held(owner=owner)
    await project.settle("complete_sessions", held, result={})
    for change in ("status = 'queued', finished_at = null", "status = 'failed', error_code = 'x'", "cost = 0"):
        with pytest.raises(asyncpg.PostgresError) as refused:
            await project.connection.execute(f"update listener.sessions set {change}")
        assert refused.value.sqlstate == "SL003"


async def test_an_attempt_is_never_lowered(project: Project) -> None:
    await project.held()
    with pytest.raises(asyncpg.PostgresError) as refused:
        await project.connection.execute("update listener.sessions set attempt = attempt - 1")
    assert refused.value.sqlstate == "SL003"


async def test_worker_demand_counts_what_needs_a_worker_now(project: Project, owner: UUID) -> None:
    assert await project.answer("worker_demand") == 0
    await project.insert(owner, 3)
    worker = await project.worker()
    held = await project.held(worker, UUID(int=1))
    assert await project.answer("worker_demand") == 4
    await project.settle("retry_sessions", held, code="provider_busy", delay_s=60)
    assert await project.answer("worker_demand") == 3


@pytest.mark.parametrize(
    "call",
    [
        "select public.grant_credits(gen_random_uuid(), 5, 'k', 'r')",
        "select public.refund_session(gen_random_uuid())",
        "select public.worker_demand()",
        "select public.credit_balance()",
        "select listener.own_balance()",
    ],
)
async def test_money_is_closed_to_the_public(project: Project, owner: UUID, call: str) -> None:
    for role in ("anon", "service_role" if "balance" in call else "authenticated"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with project.acting(role, owner) as connection:
                await connection.execute(call)


async def test_an_owners_credits_can_be_asked_for_by_a_server_and_the_tables_too(project: Project, owner: UUID) -> None:
    assert await project.answer("owner_credits", p_owner=owner) == 10, "the welcome grant is still to come"
    await project.insert(owner)
    assert await project.answer("owner_credits", p_owner=owner) == 9
    tables = {table["table"]: table for table in await project.answer("owned_tables")}
    assert tables["headshot_sessions"]["owner_column"] == "user_id"
    assert "prompt" in tables["headshot_sessions"]["inputs"]
