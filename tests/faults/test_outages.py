"""Workers that are frozen, and what they depend on going away, lying or coming late."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from devstack.faults import EventFault
from devstack.stack import Stack, open_stack
from tests.faults.app import App
from tests.faults.crew import Crew, open_crew
from tests.faults.promises import expect_promises

HELD = "select worker::text, attempt from listener.sessions where row_id = $1 and status = 'processing'"
SMALLEST_FULL_DISK_BYTES = 20_000


async def expect_all_done(stack: Stack, crew: Crew, app: App, within_s: float = 60.0) -> None:
    """Every session is completed, and every promise kept."""
    await app.until_all_ended(within_s)
    await crew.dismiss()
    states = await app.pool.fetch("select status, error_code from public.headshot_sessions")
    assert {tuple(row) for row in states} == {("completed", None)}
    await expect_promises(stack)


async def test_a_worker_frozen_beyond_its_lease_wakes_up_and_changes_nothing(
    stack: Stack, crew: Crew, app: App
) -> None:
    first, second = await crew.start(is_ready=True), await crew.start(is_ready=True)
    row = await app.insert("slow going")
    async with asyncio.timeout(20):
        while (held := await app.pool.fetchrow(HELD, row)) is None:
            await asyncio.sleep(0.05)
    frozen = first if first.worker == held["worker"] else second
    frozen.send(signal.SIGSTOP)
    async with asyncio.timeout(20):
        while await app.pool.fetchval(HELD, row) in {None, held["worker"]}:
            await asyncio.sleep(0.05)
    frozen.send(signal.SIGCONT)
    await crew.until_logged(frozen, "worker_unknown")
    await app.until_all_ended(within_s=60)
    assert not frozen.ended.is_set(), "a worker outlives its lost lease"
    after = await app.insert("a portrait")
    await app.until_all_ended(within_s=60)
    assert await app.pool.fetchval("select max(attempt) from listener.sessions where row_id <> $1", after) == 2
    await expect_all_done(stack, crew, app)


@pytest.mark.parametrize("kind", ["lose", "duplicate", "delay"])
async def test_events_that_are_lost_doubled_or_late_lose_and_double_nothing(
    stack: Stack, crew: Crew, app: App, kind: str
) -> None:
    await crew.start(is_ready=True)
    await crew.start(is_ready=True)
    stack.faults.hurt_events(EventFault(kind=kind, times=None, chance=0.7, delay_s=1.0))  # type: ignore[arg-type]
    for _ in range(12):
        await app.insert("a portrait")
    await expect_all_done(stack, crew, app)
    assert await app.pool.fetchval("select max(attempt) from listener.sessions") == 1


@pytest.mark.parametrize("how", ["dropped", "frozen"])
async def test_sockets_that_die_are_replaced(stack: Stack, crew: Crew, app: App, how: str) -> None:
    worker = await crew.start(is_ready=True)
    for _ in range(3):
        await app.insert("a portrait")
        if how == "dropped":
            stack.faults.drop_sockets()
        else:
            stack.faults.freeze_sockets()
        await app.insert("a portrait")
        await app.until_all_ended(within_s=60)
        stack.faults.thaw_sockets()
    assert not worker.ended.is_set()
    await expect_all_done(stack, crew, app)


@pytest.mark.parametrize("skew_s", [-3600.0, 3600.0])
async def test_a_worker_with_a_wrong_clock_works_as_any_other(
    stack: Stack, crew: Crew, app: App, skew_s: float
) -> None:
    await crew.start(is_ready=True, clock_skew_s=skew_s)
    for prompt in ("a portrait", "busy at first", "a portrait"):
        await app.insert(prompt)
    await expect_all_done(stack, crew, app)
    durations = await app.pool.fetch("select finished_at - started_at as took from public.headshot_sessions")
    assert all(0 <= row["took"].total_seconds() < 60 for row in durations), "times are the database's"


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process, the storage server's, may grow beyond a few kilobytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALLEST_FULL_DISK_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


async def test_a_storage_whose_disk_is_full_keeps_nobody_from_finishing_later(
    stack: Stack, crew: Crew, app: App
) -> None:
    worker = await crew.start(is_ready=True)
    with full_disk():
        await app.insert("a portrait")
        await crew.until_logged(worker, "attempt_settled", within_s=60)
        assert worker.logged("attempt_settled")[0]["verdict"] == "Retry"
    await expect_all_done(stack, crew, app, within_s=120)


@pytest.mark.timeout(300)
async def test_a_database_that_crashes_under_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    async with open_stack() as stack, open_crew(stack, tmp_path) as crew:
        for _ in range(2):
            await crew.start(is_ready=True)
        for round_ in range(3):
            async with asyncpg.create_pool(stack.database_url, min_size=1, max_size=4) as pool:
                app = App(pool, seed=round_)
                await app.fund(1000)
                for _ in range(10):
                    await app.insert("a portrait")
            await stack.faults.restart_postgres()
        assert len(crew.alive) == 2
        async with asyncpg.create_pool(stack.database_url, min_size=1, max_size=4) as pool:
            await expect_all_done(stack, crew, App(pool, seed=9), within_s=120)
