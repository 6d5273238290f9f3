"""What failing does: the row says why, and the credits come back in the same transaction, once."""

from __future__ import annotations

import asyncio
from uuid import UUID

from tests.sql.conftest import Opener
from tests.sql.project import Project

WHY = {"code": "generation_failed", "message": "The generation failed on our side.", "details": {"step": 3}}


async def test_a_failed_session_says_why_and_is_refunded(project: Project, owner: UUID) -> None:
    held = await project.held(owner=owner)
    assert await project.settle("fail_sessions", held, **WHY) == ("applied", None)
    row = await project.row(held)
    assert (row["status"], row["error_code"], row["error_message"]) == ("failed", WHY["code"], WHY["message"])
    assert (row["error_details"]["type"], row["error_details"]["step"]) == ("generation_failed", 3)
    assert row["error_details"]["timestamp"]
    assert (await project.balance(owner), await project.entries(owner)) == (10, ["grant", "charge", "refund"])


async def test_the_same_call_again_refunds_nothing_more(project: Project, owner: UUID) -> None:
    held = await project.held(owner=owner)
    outcomes = [await project.settle("fail_sessions", held, **WHY) for _ in range(3)]
    assert outcomes == [("applied", None), ("already", None), ("already", None)]
    assert await project.balance(owner) == 10


async def test_the_same_call_at_the_same_time_refunds_once(project: Project, owner: UUID, another: Opener) -> None:
    projects = [await another() for _ in range(4)]
    held = await project.held(owner=owner)
    outcomes = await asyncio.gather(*(opened.settle("fail_sessions", held, **WHY) for opened in projects))
    assert sorted(outcomes) == [("already", None)] * 3 + [("applied", None)]
    assert await project.balance(owner) == 10


async def test_a_stale_attempt_cannot_fail_the_next_one(project: Project, owner: UUID) -> None:
    held = await project.held(owner=owner)
    await project.settle("release_sessions", held)
    await project.again(held)
    assert await project.settle("fail_sessions", held, **WHY) == ("refused", "SL001")
    assert await project.balance(owner) == 9


async def test_a_batch_of_several_owners_refunds_each(project: Project, owner: UUID) -> None:
    worker, other = await project.worker(), UUID(int=1)
    held = [await project.held(worker, who) for who in (owner, other, owner)]
    assert await project.outcomes("fail_sessions", worker, *(h.item(**WHY) for h in held)) == [("applied", None)] * 3
    assert (await project.balance(owner), await project.balance(other)) == (10, 10)


async def test_a_session_of_a_free_table_moves_no_money(project: Project, owner: UUID) -> None:
    await project.connection.execute("update listener.session_tables set credits = 0")
    held = await project.held(owner=owner)
    await project.settle("fail_sessions", held, **WHY)
    assert (await project.balance(owner), await project.entries(owner)) == (0, [])
