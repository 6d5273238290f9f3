"""The end of a daemon: nothing new, the running work ends or is given back."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from listener.engine.admission import Admission
from listener.engine.breaker import Breaker
from listener.engine.drain import Drain, Phase
from listener.engine.gauge import Gauge
from listener.engine.guarded import GuardedStore
from listener.engine.slots import Running, Slots
from listener.errors import Draining, StoreRejected
from listener.overview import state_of
from listener.telemetry import log
from listener.telemetry.metrics import Metrics
from tests.engine.engine_support import HandClock, MemoryStore, a_session, running_of


class OneRunning:
    """A drain with one running attempt."""

    def __init__(self, grace_s: float) -> None:
        self.stopped: list[bool] = []
        self.slots = Slots(2, lambda _reason: None)
        self.running: Running = running_of(a_session())
        self.slots.take(self.running)
        self.drain = Drain(self.slots, lambda: self.stopped.append(True), grace_s, log.get("test"))

    def interrupted(self) -> bool:
        try:
            self.running.interruption.check()
        except Draining:
            return True
        return False


async def test_a_worker_says_whether_it_claims_and_if_not_why() -> None:
    drain, memory, clock = OneRunning(grace_s=5).drain, MemoryStore(), HandClock()
    gauge = Gauge(Breaker("database", clock, log.get("test")), Metrics(), clock)
    store = GuardedStore(memory, gauge, Slots(1, lambda _reason: None))
    short: list[str] = []
    needs = {"drain": drain.refusal, "pressure": lambda: next(iter(short), None)}
    admission = Admission(needs, clock, log.get("test"))
    assert state_of(drain, admission, store) == "claiming"
    assert state_of(drain, admission, store, {"tryon": "no model", "avatar": ""}) == "claiming without avatar,tryon"
    assert len(state_of(drain, admission, store, ["a" * 50])) == 40, "as the database bears"
    memory.faults["claim"] = [StoreRejected("42501")]
    with pytest.raises(StoreRejected):
        await store.claim(uuid4(), ["headshot"], 1)
    assert state_of(drain, admission, store) == "rejected"
    short.append("the disk is full")
    assert state_of(drain, admission, store) == "paused: pressure"
    admission.hold("a verdict could not be written", 30)
    assert state_of(drain, admission, store) == "paused: hold"
    drain.request()
    assert state_of(drain, admission, store) == "draining", "whatever else holds: it will not claim again"


async def test_running_work_may_finish_within_the_grace() -> None:
    one = OneRunning(grace_s=5)
    async with asyncio.TaskGroup() as group:
        group.create_task(one.drain.run())
        assert one.drain.refusal() is None
        one.drain.request()
        assert one.drain.refusal() == "draining"
        assert one.stopped == [True]
        await asyncio.sleep(0)
        one.slots.give_back(one.running)
    assert not one.interrupted()
    assert one.drain.phase is Phase.FINISHING


async def test_after_the_grace_the_rest_is_given_back() -> None:
    one = OneRunning(grace_s=0.02)
    async with asyncio.TaskGroup() as group:
        ended = group.create_task(one.drain.run())
        one.drain.request()
        async with asyncio.timeout(2):
            while not one.interrupted():
                await asyncio.sleep(0.001)
        assert not ended.done(), "it waits until the attempts are settled"
        one.slots.give_back(one.running)
    assert one.drain.phase is Phase.RELEASING


async def test_a_second_request_gives_everything_back_now() -> None:
    one = OneRunning(grace_s=1000)
    async with asyncio.TaskGroup() as group:
        group.create_task(one.drain.run())
        one.drain.request()
        await asyncio.sleep(0)
        one.drain.request()
        async with asyncio.timeout(2):
            while not one.interrupted():
                await asyncio.sleep(0.001)
        one.slots.give_back(one.running)


async def test_an_idle_daemon_ends_at_once(logged: Any) -> None:
    one = OneRunning(grace_s=1000)
    one.slots.give_back(one.running)
    one.drain.request()
    async with asyncio.timeout(2):
        await one.drain.run()
    assert logged("drain_done")[0]["left"] == 0


async def test_a_claim_under_way_is_waited_for_and_what_it_brings_gets_the_grace() -> None:
    one = OneRunning(grace_s=5)
    one.slots.give_back(one.running)
    answer = asyncio.Event()

    async def claim() -> None:
        await answer.wait()
        one.slots.take(one.running)

    async with asyncio.TaskGroup() as group:
        ended = group.create_task(one.drain.run(group.create_task(claim())))
        one.drain.request()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not ended.done()
        answer.set()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not ended.done(), "the session that came late may finish"
        one.slots.give_back(one.running)
