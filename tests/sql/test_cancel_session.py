"""What a user's cancel does: a waiting session ends at once with a refund, a running one is asked to."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.conftest import Opener
from tests.sql.project import Project


async def cancel(project: Project, user: UUID, row: UUID) -> Any:
    async with project.acting("authenticated", user) as connection:
        return (await connection.fetchval("select public.cancel_session($1)", row))["outcome"]


async def test_a_queued_session_is_cancelled_and_refunded_at_once(project: Project, owner: UUID) -> None:
    (row,) = await project.insert(owner)
    assert await cancel(project, owner, row) == "cancelled"
    shown = await project.row(row)
    assert (shown["status"], shown["version"], shown["error_code"]) == ("cancelled", 1, None)
    assert await project.balance(owner) == 10
    assert await project.claim(await project.worker()) == []


async def test_a_waiting_retry_is_cancelled_and_refunded_at_once(project: Project, owner: UUID) -> None:
    held = await project.held(owner=owner)
    await project.settle("retry_sessions", held, code="provider_busy", delay_s=600)
    assert await cancel(project, owner, held.row) == "cancelled"
    assert await project.balance(owner) == 10


async def test_a_worker_is_told_of_its_own_sessions_that_are_to_be_cancelled(project: Project, owner: UUID) -> None:
    held, other = await project.held(owner=owner), await project.held(owner=owner)
    assert await project.answer("requested_cancels", p_worker=held.worker) == []
    await cancel(project, owner, held.row)
    assert await project.answer("requested_cancels", p_worker=held.worker) == [str(held.session)]
    assert await project.answer("requested_cancels", p_worker=other.worker) == []


async def test_a_running_session_is_cancelled_by_its_worker(project: Project, owner: UUID) -> None:
    held = await project.held(owner=owner)
    assert await cancel(project, owner, held.row) == "requested"
    assert await cancel(project, owner, held.row) == "already"
    assert (await project.row(held))["status"] == "processing"
    assert await project.balance(owner) == 9
    outcomes = [await project.settle("cancel_sessions", held) for _ in range(2)]
    assert outcomes == [("applied", None), ("already", None)]
    assert (await project.row(held))["status"] == "cancelled"
    assert await project.balance(owner) == 10


async def test_work_that_finished_before_the_cancel_arrived_counts(project: Project, owner: UUID) -> None:
    held = await project.held(owner=owner)
    await cancel(project, owner, held.row)
    assert await project.settle("complete_sessions", held, result={}) == ("applied", None)
    assert await project.balance(owner) == 9


async def test_a_second_cancel_changes_nothing(project: Project, owner: UUID) -> None:
    (row,) = await project.insert(owner)
    assert [await cancel(project, owner, row) for _ in range(2)] == ["cancelled", "already"]
    assert await project.balance(owner) == 10


@pytest.mark.parametrize("end", ["complete_sessions", "fail_sessions"])
async def test_a_finished_session_cannot_be_cancelled(project: Project, owner: UUID, end: str) -> None:
    held = await project.held(owner=owner)
    await project.settle(end, held, code="x", result={})
    with pytest.raises(asyncpg.PostgresError, match="transition_refused") as refused:
        await cancel(project, owner, held.row)
    assert refused.value.sqlstate == "SL003"


async def test_others_sessions_are_unknown(project: Project, owner: UUID) -> None:
    (row,) = await project.insert(owner)
    for user, asked in ((uuid4(), row), (owner, uuid4())):
        with pytest.raises(asyncpg.PostgresError, match="session_unknown") as refused:
            await cancel(project, user, asked)
        assert refused.value.sqlstate == "SL002"
    assert (await project.row(row))["status"] == "queued"


async def test_a_cancel_and_a_claim_at_the_same_time_leave_one_truth(
    project: Project, owner: UUID, another: Opener
) -> None:
    canceller, claimer = await another(), await another()
    worker = await project.worker()
    for _ in range(10):
        (row,) = await project.insert(owner)
        outcome, claimed = await asyncio.gather(cancel(canceller, owner, row), claimer.claim(worker))
        status = (await project.session(row))["status"]
        assert (outcome, len(claimed), status) in [("cancelled", 0, "cancelled"), ("requested", 1, "processing")]
        if claimed:
            item = {"session": str(claimed[0]["session"]), "attempt": 1}
            assert await project.outcomes("cancel_sessions", worker, item) == [("applied", None)]
    assert await project.balance(owner) == 10


@pytest.mark.parametrize("role", ["anon", "service_role"])
async def test_only_signed_in_users_may_cancel(project: Project, owner: UUID, role: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with project.acting(role, owner) as connection:
            await connection.execute("select public.cancel_session($1)", uuid4())
