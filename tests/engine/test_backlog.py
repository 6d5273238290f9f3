"""The queue is asked about while somebody reads of it, and an old answer is not told as a new one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from listener.engine import backlog
from listener.engine.backlog import STALE_S, Backlog, KindBacklog
from listener.errors import StoreError, StoreRejected, StoreUnavailable
from listener.telemetry import log
from tests.engine.engine_support import HandClock


class Asked:
    """A database that answers one kind, with as many sessions as it was asked before."""

    def __init__(self) -> None:
        self.clock, self.times = HandClock(), 0
        self.error: StoreError | None = None
        self.reason: str | None = None
        self.backlog = Backlog(self.ask, lambda: self.reason, self.clock, log.get("test"))

    async def ask(self) -> Sequence[KindBacklog]:
        self.times += 1
        if self.error is not None:
            raise self.error
        return [KindBacklog("headshot", self.times, 0, 0, 1.5, 1)]

    def queued(self) -> list[int]:
        return [one.queued for one in self.backlog.read()]


async def test_nobody_asks_until_somebody_reads_and_then_once_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "PAUSE_S", 0.01)
    asked = Asked()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        task = group.create_task(asked.backlog.run())
        for _ in range(20):
            await asyncio.sleep(0)
        assert asked.times == 0
        assert [asked.queued() for _ in range(3)] == [[], [], []], "a scrape never waits for the database"
        while asked.times < 1:
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        assert asked.times == 1, "three readings are one question"
        assert asked.queued() == [1]
        while asked.queued() != [2]:
            await asyncio.sleep(0.001)
        task.cancel()


@pytest.mark.parametrize("error", [StoreUnavailable("503"), StoreRejected("no such function")])
async def test_what_was_answered_counts_for_a_while_and_then_nothing_is_told(error: StoreError) -> None:
    asked = Asked()
    await asked.backlog.turn()
    asked.error = error
    await asked.backlog.turn()
    assert asked.queued() == [1]
    asked.clock.at += STALE_S + 1
    assert asked.queued() == []
    asked.error = None
    await asked.backlog.turn()
    assert asked.queued() == [3]


async def test_a_worker_without_a_lease_asks_nothing() -> None:
    asked = Asked()
    asked.reason = "the lease ran out"
    await asked.backlog.turn()
    assert (asked.times, asked.queued()) == (0, [])
