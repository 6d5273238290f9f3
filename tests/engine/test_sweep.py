"""The sweep wakes the claim loop when it found something, and survives a store that is away."""

from __future__ import annotations

import asyncio
from typing import Any

from listener.engine.sweep import Sweep
from listener.errors import StoreRejected, StoreUnavailable
from listener.ports import Swept
from listener.telemetry import log
from tests.engine.engine_support import MemoryStore


async def test_what_was_rescued_or_promoted_is_claimed_at_once() -> None:
    store, woken = MemoryStore(), []
    sweep = Sweep(store, 5, woken.append, log.get("test"))
    await sweep.turn()
    assert woken == []
    store.swept = Swept(rescued=1)
    await sweep.turn()
    store.swept = Swept(promoted=1)
    await sweep.turn()
    assert woken == ["sweep", "sweep"]


async def test_an_error_is_a_line_and_the_next_turn_tries_again(logged: Any) -> None:
    store = MemoryStore()
    store.faults["sweep"] = [StoreUnavailable("503"), StoreRejected("42883")]
    sweep = Sweep(store, 5, lambda _reason: None, log.get("test"))
    for _ in range(3):
        await sweep.turn()
    assert len(logged("sweep_failed")) == 2


async def test_it_sweeps_until_it_is_stopped() -> None:
    store = MemoryStore()
    sweep = Sweep(store, 0.001, lambda _reason: None, log.get("test"))
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(sweep.run())
        while len(store.calls) < 3:
            await asyncio.sleep(0)
        sweep.stop()
