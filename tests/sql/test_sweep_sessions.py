"""What a sweep does: sessions of lost workers run again or end refunded, overdue ones end, due ones are promoted."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.conftest import Opener
from tests.sql.project import Project

START = "2030-01-01 00:00:00+00"
LATER = "2030-01-01 00:00:11+00"
NOTHING = {"rescued": 0, "failed": 0, "promoted": 0, "expired_workers": 0, "app_refunds": 0, "pruned": 0}


async def test_a_sweep_leaves_the_living_alone(project: Project) -> None:
    held = await project.held()
    assert await project.answer("sweep_sessions") == NOTHING
    assert (await project.session(held))["status"] == "processing"


async def test_the_session_of_a_lost_worker_is_queued_again(project: Project, owner: UUID) -> None:
    await project.set_clock(START)
    held = await project.held(await project.worker(lease_s=10), owner)
    tags = (await project.session(held))["fair_tag"]
    await project.set_clock(LATER)
    assert await project.answer("sweep_sessions", p_limit=10) == NOTHING | {"rescued": 1, "expired_workers": 1}
    session = await project.session(held)
    assert (session["status"], session["failures"], session["attempt"], session["fair_tag"]) == ("queued", 1, 1, tags)
    assert (await project.row(held))["status"] == "queued"
    assert await project.balance(owner) == 9
    assert await project.answer("sweep_sessions") == NOTHING


async def test_a_lost_worker_that_wakes_up_changes_nothing(project: Project, owner: UUID) -> None:
    await project.set_clock(START)
    held = await project.held(await project.worker(lease_s=10), owner)
    await project.set_clock(LATER)
    await project.answer("sweep_sessions")
    for function in ("complete_sessions", "fail_sessions", "retry_sessions", "cancel_sessions", "release_sessions"):
        assert await project.settle(function, held, code="x", result={}) == ("refused", "SL001")
    (claimed,) = await project.claim(await project.worker())
    assert (claimed["session"], claimed["attempt"]) == (held.session, 2)
    assert await project.settle("complete_sessions", held, result={}) == ("refused", "SL001")
    pulse = await project.answer("heartbeat", p_worker=held.worker, p_running=[held.item()], p_open_claims=[])
    assert (pulse["known"], pulse["lost"]) == (False, [held.item()])


async def test_a_session_that_loses_every_worker_fails_and_is_refunded(project: Project, owner: UUID) -> None:
    await project.insert(owner)
    counts = []
    for minute in range(3):
        await project.set_clock(f"2030-01-01 00:0{minute}:00+00")
        await project.claim(await project.worker(lease_s=10))
        await project.set_clock(f"2030-01-01 00:0{minute}:11+00")
        swept = await project.answer("sweep_sessions")
        counts.append((swept["rescued"], swept["failed"]))
    assert counts == [(1, 0), (1, 0), (0, 1)]
    (row,) = await project.rows("select * from public.headshot_sessions")
    assert (row["status"], row["error_code"]) == ("failed", "worker_lost")
    assert await project.balance(owner) == 10


async def test_a_session_past_its_time_limit_ends_under_a_living_worker(project: Project, owner: UUID) -> None:
    await project.set_clock(START)
    held = await project.held(await project.worker(lease_s=300), owner)
    for minute in ("04", "08"):
        await project.set_clock(f"2030-01-01 00:{minute}:00+00")
        await project.answer("heartbeat", p_worker=held.worker, p_running=[held.item()], p_open_claims=[])
    await project.set_clock("2030-01-01 00:10:59+00")
    swept = await project.answer("sweep_sessions")
    assert swept["failed"] == 0, "it may have waited as long again for a device, and the worker has its grace"
    await project.set_clock("2030-01-01 00:11:00+00")
    assert (await project.answer("sweep_sessions"))["failed"] == 1
    row = await project.row(held)
    assert (row["status"], row["error_code"]) == ("failed", "time_limit")
    assert await project.balance(owner) == 10
    assert await project.settle("complete_sessions", held, result={}) == ("refused", "SL001")


async def test_a_lost_session_that_was_to_be_cancelled_is_cancelled(project: Project, owner: UUID) -> None:
    await project.set_clock(START)
    held = await project.held(await project.worker(lease_s=10), owner)
    async with project.acting("authenticated", owner) as connection:
        await connection.execute("select public.cancel_session($1)", held.row)
    await project.set_clock(LATER)
    await project.answer("sweep_sessions")
    assert (await project.row(held))["status"] == "cancelled"
    assert await project.balance(owner) == 10


async def test_sweeps_at_the_same_time_rescue_each_session_once(project: Project, owner: UUID, another: Opener) -> None:
    sweepers = [await another() for _ in range(4)]
    await project.insert(owner, 10)
    await project.claim(await project.worker(lease_s=2), 10)
    await project.connection.execute("update listener.workers set lease_expires_at = now() - interval '1 second'")
    swept = await asyncio.gather(*(sweeper.answer("sweep_sessions") for sweeper in sweepers))
    assert sum(one["rescued"] for one in swept) == 10
    assert await project.value("select sum(failures) from listener.sessions") == 10


async def test_a_row_that_somebody_holds_waits_for_the_next_sweep(
    project: Project, owner: UUID, another: Opener
) -> None:
    holder = await another()
    rows = await project.insert(owner, 2)
    await project.claim(await project.worker(), 2)
    await project.connection.execute("update listener.workers set lease_expires_at = now() - interval '1 second'")
    await holder.connection.execute("begin")
    await holder.connection.execute("select from public.headshot_sessions where id = $1 for update", rows[0])
    await project.connection.execute("set lock_timeout = '5s'")
    assert (await project.answer("sweep_sessions"))["rescued"] == 1
    await holder.connection.execute("rollback")
    assert (await project.answer("sweep_sessions"))["rescued"] == 1


async def test_a_sweep_does_what_its_limit_allows(project: Project, owner: UUID) -> None:
    await project.insert(owner, 5)
    await project.claim(await project.worker(), 5)
    await project.connection.execute("update listener.workers set lease_expires_at = now() - interval '1 second'")
    swept = [(await project.answer("sweep_sessions", p_limit=2))["rescued"] for _ in range(4)]
    assert swept == [2, 2, 1, 0]


@pytest.mark.parametrize("role", ["anon", "authenticated"])
async def test_only_service_role_may_sweep(project: Project, role: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with project.acting(role, uuid4()) as connection:
            await connection.execute("select public.sweep_sessions()")
