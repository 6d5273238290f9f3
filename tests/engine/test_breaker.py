"""A circuit opens by itself when a dependency keeps failing, and closes by itself when it works again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from listener.engine import breaker as module
from listener.engine.backoff import Backoff
from listener.engine.breaker import Breaker, Circuits, Patience, Probe, State
from listener.errors import StoreUnavailable
from listener.telemetry import log
from tests.engine.engine_support import HandClock

AWAY = StoreUnavailable("503")


class Probed:
    """A probe that fails as long as it is told to."""

    def __init__(self) -> None:
        self.works = False
        self.count = 0

    async def __call__(self) -> None:
        self.count += 1
        if not self.works:
            raise StoreUnavailable("still 503")


def breaker(clock: HandClock, probe: Probe | None = None) -> Breaker:
    return Breaker("storage", clock, log.get("test"), probe, Patience(3, Backoff(first_s=2.0, limit_s=8.0)))


def fail(one: Breaker, times: int) -> None:
    for _ in range(times):
        one.failed(AWAY)


def until_half_open(one: Breaker, clock: HandClock) -> float:
    """Let the pause pass; tells how long it was."""
    began = clock.at
    while one.state is State.OPEN:
        clock.at += 0.1
    return clock.at - began


async def test_failures_in_a_row_open_it_and_a_success_between_them_does_not(logged: Any) -> None:
    one = breaker(HandClock())
    fail(one, 2)
    one.succeeded()
    fail(one, 2)
    assert (one.state, one.refusal()) == (State.CLOSED, None)
    fail(one, 1)
    assert (one.state, one.opened_count) == (State.OPEN, 1)
    assert one.refusal() == "storage keeps failing: 503"
    (line,) = logged("circuit_opened")
    assert (line["dependency"], line["failures"], line["error"]) == ("storage", 3, "503")


async def test_after_the_pause_a_probe_that_works_closes_it_without_any_session(logged: Any) -> None:
    clock, probe = HandClock(), Probed()
    one = breaker(clock, probe)
    fail(one, 3)
    assert not one.needs_probe
    until_half_open(one, clock)
    assert one.needs_probe
    assert one.refusal() is not None, "no session is claimed to try it out"
    probe.works = True
    await one.probe()
    assert (one.state, one.refusal(), probe.count) == (State.CLOSED, None, 1)
    assert [line["event"] for line in logged() if "dependency" in line] == [
        "circuit_opened",
        "circuit_half_open",
        "circuit_closed",
    ]


async def test_a_probe_that_fails_opens_it_for_longer(logged: Any) -> None:
    clock, probe = HandClock(), Probed()
    one = breaker(clock, probe)
    fail(one, 3)
    for _ in range(6):
        until_half_open(one, clock)
        await one.probe()
        assert one.state is State.OPEN
    assert one.opened_count == 7
    pauses = [line["pause_s"] for line in logged("circuit_opened")]
    assert max(pauses) <= 8.0
    assert pauses[0] <= 2.0


async def test_a_probe_can_lie_so_the_next_real_failure_opens_it_at_once() -> None:
    clock, probe = HandClock(), Probed()
    one = breaker(clock, probe)
    fail(one, 3)
    until_half_open(one, clock)
    probe.works = True
    await one.probe()
    fail(one, 1)
    assert one.state is State.OPEN
    until_half_open(one, clock)
    await one.probe()
    one.succeeded()
    fail(one, 2)
    assert one.state is State.CLOSED, "real work made it whole again"


async def test_real_work_that_works_closes_it_whatever_the_pause() -> None:
    one = breaker(HandClock())
    fail(one, 3)
    one.succeeded()
    assert (one.state, one.refusal(), one.last_error) == (State.CLOSED, None, None)


async def test_what_a_late_probe_says_does_not_overrule_real_work() -> None:
    clock = HandClock()

    async def answers_late() -> None:
        one.succeeded()
        raise StoreUnavailable("old news")

    one = breaker(clock, answers_late)
    fail(one, 3)
    until_half_open(one, clock)
    await one.probe()
    assert (one.state, one.last_error) == (State.CLOSED, None)


async def test_failures_while_it_is_open_do_not_lengthen_the_pause() -> None:
    clock = HandClock()
    one = breaker(clock)
    fail(one, 3)
    fail(one, 20)
    clock.at += 2.0
    assert (one.state, one.opened_count) == (State.HALF_OPEN, 1)


async def test_without_a_probe_one_session_is_the_trial() -> None:
    clock, busy = HandClock(), [0]
    one, other = breaker(clock), Breaker("database", clock, log.get("test"))
    circuits = Circuits((one, other), lambda: busy[0])
    assert circuits.most(5) == 5
    fail(one, 3)
    assert circuits.refusal() == "storage keeps failing: 503"
    until_half_open(one, clock)
    assert (circuits.refusal(), circuits.most(5), circuits.most(0)) == (None, 1, 0)
    busy[0] = 1
    assert circuits.refusal() == "storage is on trial with one session"
    one.succeeded()
    assert (circuits.refusal(), circuits.most(4)) == (None, 4)


async def test_a_trial_that_fails_opens_it_at_once() -> None:
    clock = HandClock()
    one = breaker(clock)
    fail(one, 3)
    until_half_open(one, clock)
    fail(one, 1)
    assert (one.state, one.opened_count) == (State.OPEN, 2)


async def test_the_circuits_probe_by_themselves() -> None:
    clock, probe = HandClock(), Probed()
    one = breaker(clock, probe)
    fail(one, 3)
    clock.at += 10
    probe.works = True
    circuits = Circuits((one,), lambda: 0)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        running = group.create_task(circuits.run())
        await _until(lambda: one.state is State.CLOSED)
        running.cancel()
    assert probe.count == 1


async def test_one_that_asks_first_lets_nothing_begin_before_its_probe_worked() -> None:
    clock, probe = HandClock(), Probed()
    one = Breaker("moderation", clock, log.get("test"), probe, asks_first=True)
    assert one.refusal() == "moderation keeps failing: it was not asked yet"
    probe.works = True
    await one.probe()
    assert (one.state, one.refusal(), one.last_error) == (State.CLOSED, None, None)


async def test_a_circuit_without_a_probe_is_left_to_real_work() -> None:
    clock = HandClock()
    one = breaker(clock)
    fail(one, 3)
    until_half_open(one, clock)
    await one.probe()
    assert (one.state, one.on_trial) == (State.HALF_OPEN, True)


async def test_a_late_probe_that_works_does_not_close_what_real_work_has_opened_again() -> None:
    clock = HandClock()

    async def works_late() -> None:
        fail(one, 1)

    one = breaker(clock, works_late)
    fail(one, 3)
    until_half_open(one, clock)
    await one.probe()
    assert (one.state, one.opened_count) == (State.OPEN, 2)


async def test_circuits_that_are_closed_are_not_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WATCH_S", 0.0)
    probe = Probed()
    circuits = Circuits((breaker(HandClock(), probe),), lambda: 0)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        running = group.create_task(circuits.run())
        for _ in range(5):
            await asyncio.sleep(0)
        running.cancel()
    assert probe.count == 0


async def _until(seen: Callable[[], bool]) -> None:
    while not seen():
        await asyncio.sleep(0)
