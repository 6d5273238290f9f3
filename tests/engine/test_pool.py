"""Attempts are started once each, free their slot however they end, and can be abandoned."""

from __future__ import annotations

import asyncio
from typing import Any

from listener.contract import Session
from listener.engine.admission import Admission
from listener.engine.attempt import AttemptRunner
from listener.engine.context import Outside
from listener.engine.pool import UNWRITTEN_HOLD_S, AttemptPool
from listener.engine.settle import Settler
from listener.engine.slots import Slots
from listener.errors import StoreUnavailable
from listener.ports import Attempt
from listener.telemetry import log
from tests.engine.engine_support import Act, Bench, TestHandler


class Pool:
    """A pool with two slots on in-memory ports."""

    def __init__(self, bench: Bench, group: asyncio.TaskGroup, act: Act | None = None) -> None:
        self.bench = bench
        self.freed: list[str] = []
        self.slots = Slots(2, self.freed.append)
        self.admission = Admission({}, bench.clock, log.get("test"))
        outside = Outside(bench.store, bench.objects, bench.inputs, bench.generator, bench.clock, 3600, 0.0)
        runner = AttemptRunner({"headshot": TestHandler(act)}, outside, Settler(bench.store, 0.01))
        self.pool = AttemptPool(group, runner, self.slots, self.admission)

    def claimed(self, **fields: Any) -> Session:
        session = self.bench.store.add(**fields)
        self.bench.store.rows[session.id].status = "processing"
        return session


async def test_an_attempt_holds_its_slot_until_it_is_settled_and_then_gives_it_back(bench: Bench) -> None:
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        one = Pool(bench, group)
        session = one.claimed(failures=2, max_attempts=3)
        one.pool.start(session)
        (running,) = one.slots
        assert (running.attempt, running.is_last_try) == (Attempt(session.id, 1), True)
        assert await one.slots.idle(None)
    assert (bench.store.rows[session.id].status, one.freed) == ("completed", ["slot_free"])
    assert one.admission.held() is None


async def test_the_same_claim_answered_twice_runs_once(bench: Bench) -> None:
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        one = Pool(bench, group)
        session = one.claimed()
        one.pool.start(session)
        one.pool.start(session)
        assert len(one.slots.attempts()) == 1
    assert bench.store.calls.count("complete") == 1


async def test_a_verdict_that_cannot_be_written_keeps_the_worker_from_claiming_for_a_while(bench: Bench) -> None:
    bench.store.faults["complete"] = [StoreUnavailable("503")] * 99
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        one = Pool(bench, group)
        one.pool.start(one.claimed())
    assert one.admission.refusal() == "the last verdict could not be written"
    bench.clock.at += UNWRITTEN_HOLD_S
    assert one.admission.refusal() is None
    assert one.slots.free == 2


async def test_what_is_abandoned_ends_and_frees_its_slot(bench: Bench) -> None:
    bench.generator.pause = asyncio.Event()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        one = Pool(bench, group)
        assert await one.pool.abandon(5) == 0, "nothing runs"
        one.pool.start(one.claimed())
        await bench.generator.reached.wait()
        assert await one.pool.abandon(5) == 0
        assert one.slots.free == 2


async def test_what_does_not_even_end_when_it_is_abandoned_is_counted(bench: Bench) -> None:
    leave, at_it = asyncio.Event(), asyncio.Event()

    async def stubborn(*_: Any) -> None:
        at_it.set()
        while not leave.is_set():
            try:
                await leave.wait()
            except asyncio.CancelledError:
                continue

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        one = Pool(bench, group, stubborn)
        one.pool.start(one.claimed())
        await at_it.wait()
        assert await one.pool.abandon(0.01) == 1
        leave.set()
