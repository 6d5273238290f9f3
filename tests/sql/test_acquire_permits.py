"""How many requests all workers together may send a provider: never more in any 60 seconds than the kind says."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.conftest import Opener
from tests.sql.project import Project, until_blocked

START = datetime(2030, 1, 1, tzinfo=UTC)


async def limit(project: Project, a_minute: int | None) -> None:
    await project.connection.execute("update listener.kinds set requests_per_minute = $1", a_minute)


async def acquire(project: Project, worker: UUID, count: int = 1) -> Any:
    return await project.answer("acquire_permits", p_worker=worker, p_kind="headshot", p_count=count)


async def test_all_workers_share_one_minute(project: Project) -> None:
    await limit(project, 300)
    await project.set_clock(START)
    first, second = await project.worker(lease_s=300), await project.worker(lease_s=300)
    assert await acquire(project, first, 200) == {"known": True, "granted": 200, "retry_after_s": None}
    await project.set_clock(START + timedelta(seconds=20))
    assert await acquire(project, second, 200) == {"known": True, "granted": 100, "retry_after_s": 40}
    await project.set_clock(START + timedelta(seconds=59.999))
    assert await acquire(project, second) == {"known": True, "granted": 0, "retry_after_s": 0.001}
    await project.set_clock(START + timedelta(seconds=60))
    assert await acquire(project, second, 201) == {"known": True, "granted": 200, "retry_after_s": 20}


async def test_no_window_of_sixty_seconds_holds_more_than_the_limit(project: Project) -> None:
    await limit(project, 30)
    chance, now, given = random.Random(7), START, []
    await project.set_clock(now)
    worker = await project.worker(lease_s=300)
    for _ in range(120):
        now += timedelta(seconds=chance.choice([0, 0.5, 1, 3]))
        await project.set_clock(now)
        await project.connection.execute("update listener.workers set lease_expires_at = $1", now + timedelta(hours=1))
        granted = (await acquire(project, worker, chance.randint(1, 6)))["granted"]
        given += [now] * granted
    windows = [sum(1 for at in given if timedelta(0) <= at - start < timedelta(seconds=60)) for start in given]
    assert max(windows) == 30, "reached, and never passed"


async def test_without_a_limit_everything_is_granted_and_nothing_written(project: Project) -> None:
    await limit(project, None)
    worker = await project.worker()
    assert await acquire(project, worker, 1000) == {"known": True, "granted": 1000, "retry_after_s": None}
    assert await project.value("select count(*) from listener.permits") == 0


async def test_old_permits_are_forgotten(project: Project) -> None:
    await limit(project, 2)
    await project.set_clock(START)
    worker = await project.worker(lease_s=300)
    for minute in range(4):
        await project.set_clock(START + timedelta(minutes=minute))
        assert (await acquire(project, worker, 2))["granted"] == 2
    assert await project.value("select count(*) from listener.permits") == 1


async def test_a_worker_whose_lease_ran_out_may_send_nothing(project: Project) -> None:
    for a_minute in (None, 10):
        await limit(project, a_minute)
        assert await acquire(project, uuid4()) == {"known": False, "granted": 0, "retry_after_s": None}


async def test_parallel_workers_cannot_pass_the_limit_together(project: Project, another: Opener) -> None:
    await limit(project, 10)
    projects = [await another() for _ in range(6)]

    async def take(opened: Project) -> int:
        return int((await acquire(opened, await opened.worker(), 4))["granted"])

    assert sum(await asyncio.gather(*map(take, projects))) == 10


async def test_the_count_waits_for_permits_that_have_not_committed(project: Project, another: Opener) -> None:
    await limit(project, 5)
    worker, asker, watcher = await project.worker(), await another(), await another()
    transaction = project.connection.transaction()
    await transaction.start()
    assert (await acquire(project, worker, 4))["granted"] == 4
    async with asyncio.TaskGroup() as group:
        second = group.create_task(acquire(asker, worker, 4))
        await until_blocked(watcher.connection, asker.connection)
        await transaction.commit()
    assert second.result()["granted"] == 1


@pytest.mark.parametrize(("kind", "count"), [("headshot", 0), ("headshot", 1001), ("headshot", None), ("none", 1)])
async def test_only_sane_questions_are_answered(project: Project, kind: str, count: int | None) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError):
        await project.answer("acquire_permits", p_worker=uuid4(), p_kind=kind, p_count=count)


@pytest.mark.parametrize("role", ["anon", "authenticated"])
async def test_users_cannot_use_up_the_permits(project: Project, owner: UUID, role: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with project.acting(role, owner) as connection:
            await connection.execute("select public.acquire_permits($1, 'headshot', 1)", owner)
