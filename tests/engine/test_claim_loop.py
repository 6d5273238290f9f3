"""The claim loop: no wake-up is lost, no claim is lost, nothing is taken that cannot run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from listener.contract import Session
from listener.engine.admission import Admission
from listener.engine.claim import ClaimLoop
from listener.engine.slots import Slots
from listener.engine.wakeup import WakeUp
from listener.errors import StoreRejected, StoreUnavailable
from listener.telemetry import log
from tests.engine.engine_support import HandClock, MemoryStore, running_of


class Loop:
    """A claim loop whose attempts never end by themselves."""

    def __init__(self, slots: int = 2, reasons: list[str | None] | None = None) -> None:
        self.store = MemoryStore()
        self.wakeup = WakeUp()
        self.slots = Slots(slots, self.wakeup.set)
        self.started: list[Session] = []
        self.changed = asyncio.Condition()
        self.reason: str | None = None
        self.admission = Admission({"test": lambda: self.reason}, HandClock(), log.get("test"))
        self.loop = ClaimLoop(
            store=self.store,
            kinds=("headshot",),
            slots=self.slots,
            wakeup=self.wakeup,
            admission=self.admission,
            start=self.start,
            log=log.get("test"),
        )

    def start(self, session: Session) -> None:
        self.slots.take(running_of(session))
        self.started.append(session)

    async def until(self, seen: Callable[[], Any]) -> None:
        async with asyncio.timeout(5):
            while not seen():
                await asyncio.sleep(0.001)


@asynccontextmanager
async def running(loop: Loop) -> AsyncIterator[Loop]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(loop.loop.run())
        yield loop
        loop.loop.stop()
        for hold in loop.store.holds.values():
            hold.set()
        async with asyncio.timeout(5):
            await asyncio.wait([task])


async def test_an_insert_while_a_claim_is_held_open_is_not_lost() -> None:
    loop = Loop()
    loop.store.holds["claim"] = asyncio.Event()
    async with running(loop):
        await loop.until(lambda: "claim" in loop.store.calls)  # this claim saw an empty queue, its answer is still out
        session = loop.store.add()
        loop.wakeup.set("realtime")
        loop.store.holds.pop("claim").set()
        await loop.until(lambda: loop.started)
    assert [one.id for one in loop.started] == [session.id]


async def test_a_claim_whose_answer_was_lost_is_made_again_under_the_same_id(logged: Any) -> None:
    loop = Loop()
    session = loop.store.add()
    loop.store.lost["claim"] = 2
    async with running(loop):
        await loop.until(lambda: loop.started)
        await loop.until(lambda: len(loop.store.claim_ids) >= 3)
    assert len(set(loop.store.claim_ids[:3])) == 1
    assert [one.id for one in loop.started] == [session.id]
    assert loop.loop.open_claims() == []


async def test_an_open_claim_is_told_to_the_heartbeat_until_its_answer_is_there() -> None:
    loop = Loop()
    loop.store.holds["claim"] = asyncio.Event()
    async with running(loop):
        await loop.until(lambda: loop.store.claim_ids)
        assert loop.loop.open_claims() == loop.store.claim_ids
        loop.store.holds.pop("claim").set()
        await loop.until(lambda: not loop.loop.open_claims())


async def test_no_more_is_claimed_than_there_are_free_slots() -> None:
    loop = Loop(slots=2)
    for _ in range(5):
        loop.store.add()
    async with running(loop):
        await loop.until(lambda: len(loop.started) == 2)
        first = next(iter(loop.slots))
        loop.slots.give_back(first)
        await loop.until(lambda: len(loop.started) == 3)
    assert loop.store.limits == [2, 1]


async def test_a_full_claim_is_followed_by_another_at_once() -> None:
    loop = Loop(slots=3)
    loop.start = loop.started.append  # type: ignore[method-assign]
    loop.loop._start = loop.start
    for _ in range(7):
        loop.store.add()
    async with running(loop):
        await loop.until(lambda: len(loop.started) == 7)
    assert loop.store.limits[:3] == [3, 3, 3]


async def test_nothing_is_claimed_while_the_generator_loads_and_the_reason_is_logged_once(logged: Any) -> None:
    loop = Loop()
    loop.reason = "the generator is not ready: loading"
    loop.store.add()
    async with running(loop):
        for _ in range(3):
            loop.wakeup.set("realtime")
            await asyncio.sleep(0.01)
        assert loop.store.claim_ids == []
        loop.reason = None
        await loop.until(lambda: loop.started)
    assert [line["reason"] for line in logged("claims_paused")] == ["the generator is not ready: loading"]
    assert len(logged("claims_resumed")) == 1


@pytest.mark.parametrize("error", [StoreUnavailable("503"), StoreRejected("PGRST202")])
async def test_errors_have_a_brake_that_wake_ups_do_not_release(error: Exception, logged: Any) -> None:
    loop = Loop()
    loop.store.faults["claim"] = [error] * 1000
    async with running(loop):
        for _ in range(50):
            loop.wakeup.set("realtime")
            await asyncio.sleep(0.002)
        assert len(loop.store.claim_ids) <= 6  # the delays grow from 0.02-0.2 s
    assert logged("claim_failed")[0]["again_in_s"] > 0


async def test_the_loop_ends_when_told_even_while_it_waits() -> None:
    loop = Loop()
    async with running(loop):
        await loop.until(lambda: loop.store.claim_ids)
    assert loop.started == []


async def test_a_hold_passes_by_itself() -> None:
    clock = HandClock()
    admission = Admission({}, clock, log.get("test"))
    admission.hold("the last verdict could not be written", 30)
    assert admission.refusal() is not None
    clock.at += 31
    assert admission.refusal() is None
