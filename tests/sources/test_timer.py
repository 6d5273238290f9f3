"""The timer wakes slowly while Realtime is known to work, and every second while it is not."""

from __future__ import annotations

import asyncio

import pytest

from listener.sources import timer
from listener.sources.timer import TimerSource


async def first_wake_s(source: TimerSource) -> float:
    woken = asyncio.Event()
    began = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(source.run(lambda _reason: woken.set()))
        await woken.wait()
        task.cancel()
    return asyncio.get_running_loop().time() - began


async def test_it_is_fast_while_nothing_else_is_known_to_work(monkeypatch: pytest.MonkeyPatch) -> None:
    source = TimerSource(600.0, lambda: False)
    monkeypatch.setattr(timer, "STALE_INTERVAL_S", 0.05)
    assert await first_wake_s(source) < 1.0


async def test_it_keeps_its_interval_while_realtime_works() -> None:
    assert 0.15 < await first_wake_s(TimerSource(0.2, lambda: True)) < 1.0
