"""The latch: nothing is forgotten, nothing blocks."""

from __future__ import annotations

import asyncio

from listener.engine.wakeup import WakeUp


async def test_a_wake_up_before_the_wait_is_not_lost() -> None:
    wakeup = WakeUp()
    wakeup.set("early")
    assert await wakeup.wait(0.0)


async def test_many_wake_ups_are_one() -> None:
    wakeup = WakeUp()
    for number in range(3):
        wakeup.set(f"source {number}")
    wakeup.clear()
    assert not await wakeup.wait(0.0)
    assert wakeup.last_reason == "source 2"


async def test_the_wait_ends_when_the_time_is_up() -> None:
    async with asyncio.timeout(1):
        assert not await WakeUp().wait(0.01)
