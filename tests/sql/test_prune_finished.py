"""What the sweep removes: finished sessions, events and workers that are kept no longer, never what is still needed."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import pytest

from tests.sql.conftest import Opener
from tests.sql.project import Held, Project, expect_invariants

START = "2030-01-01 00:00:00+00"
DAY_10 = "2030-01-11 00:00:01+00"


async def keep(project: Project, **days: int | None) -> None:
    for column, value in days.items():
        await project.connection.execute(f"update listener.kinds set {column} = $1 where kind = 'headshot'", value)


async def pruned(project: Project) -> int:
    return int((await project.answer("sweep_sessions"))["pruned"])


async def finished(project: Project, owner: UUID, function: str = "complete_sessions") -> Held:
    held = await project.held(await project.worker(lease_s=300), owner)
    assert await project.settle(function, held, code="x", message="m", result={}) == ("applied", None)
    return held


async def remaining(project: Project) -> set[UUID]:
    return {row["id"] for row in await project.rows("select id from listener.sessions")}


@pytest.mark.parametrize("function", ["complete_sessions", "fail_sessions", "cancel_sessions"])
async def test_a_finished_session_goes_when_its_days_are_over(project: Project, owner: UUID, function: str) -> None:
    await project.set_clock(START)
    await keep(project, keep_days=10)
    held = await finished(project, owner, function)
    await project.set_clock("2030-01-10 23:59:59+00")
    assert await pruned(project) == 0
    await project.set_clock(DAY_10)
    assert await pruned(project) == 1
    assert await remaining(project) == set()
    assert (await project.row(held.row))["status"] != "queued"
    await expect_invariants(project)


async def test_the_ledger_and_the_balance_outlive_their_session(project: Project, owner: UUID) -> None:
    await project.set_clock(START)
    await keep(project, keep_days=10)
    await finished(project, owner)
    await finished(project, owner, "fail_sessions")
    before = (await project.balance(owner), await project.entries(owner))
    await project.set_clock(DAY_10)
    assert await pruned(project) == 2
    assert (await project.balance(owner), await project.entries(owner)) == before


async def test_without_days_everything_is_kept(project: Project, owner: UUID) -> None:
    await project.set_clock(START)
    held = await finished(project, owner)
    await project.set_clock("2040-01-01 00:00:00+00")
    assert await pruned(project) == 0
    assert await remaining(project) == {held.session}


async def test_an_open_session_is_never_too_old(project: Project, owner: UUID) -> None:
    await project.set_clock(START)
    await keep(project, keep_days=1)
    (row,) = await project.insert(owner)
    await project.set_clock("2040-01-01 00:00:00+00")
    assert await pruned(project) == 0
    assert (await project.row(row))["status"] == "queued"


async def test_a_session_whose_artifacts_are_not_removed_stays(project: Project, owner: UUID) -> None:
    await project.set_clock(START)
    await keep(project, keep_days=1)
    held = await project.held(await project.worker(lease_s=300), owner)
    saved = held.item(name="image", bucket="headshots", path="a/b.png", size_bytes=1, content_type="image/png")
    assert await project.outcomes("add_artifacts", held.worker, saved) == [("applied", None)]
    await project.settle("complete_sessions", held, result={})
    await project.set_clock(DAY_10)
    assert await pruned(project) == 0
    await project.connection.execute("delete from listener.artifacts")
    assert await pruned(project) == 1


async def test_events_have_days_of_their_own(project: Project, owner: UUID) -> None:
    await project.set_clock(START)
    await keep(project, keep_days=1)
    await finished(project, owner)
    await project.set_clock(DAY_10)
    assert await pruned(project) == 1
    assert await project.value("select count(*) from listener.events") == 3
    await keep(project, keep_events_days=10)
    await pruned(project)
    assert await project.value("select count(*) from listener.events") == 0


async def test_a_worker_is_forgotten_a_week_after_it_expired(project: Project) -> None:
    await project.set_clock(START)
    await project.worker(lease_s=10)
    for moment, left in (("2030-01-01 00:00:11+00", 1), ("2030-01-08 00:00:00+00", 1), ("2030-01-08 00:00:12+00", 0)):
        await project.set_clock(moment)
        await pruned(project)
        assert await project.value("select count(*) from listener.workers") == left


async def test_two_sweeps_do_not_wait_for_each_other(project: Project, another: Opener, owner: UUID) -> None:
    await project.set_clock(START)
    await keep(project, keep_days=1)
    await finished(project, owner)
    await project.set_clock(DAY_10)
    other = await another()
    async with project.connection.transaction():
        assert await pruned(project) == 1
        await other.set_clock(DAY_10)
        await other.connection.execute("set lock_timeout = '5s'")
        assert await pruned(other) == 0


@pytest.mark.parametrize("column", ["keep_days", "keep_events_days"])
async def test_no_days_at_all_are_refused(project: Project, column: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match=f"kinds_{column}_is_positive"):
        await keep(project, **{column: 0})


@pytest.mark.parametrize("role", ["anon", "authenticated"])
async def test_no_user_prunes(project: Project, owner: UUID, role: str) -> None:
    async with project.acting(role, owner) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("select listener.prune_finished(10)")
