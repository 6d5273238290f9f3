"""The worker's lease: renewed together, stopped when it ran out, and what a heartbeat brings back is delivered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from listener.engine import heartbeat
from listener.engine.heartbeat import SCHEMA_VERSION, Heartbeat, Listeners
from listener.engine.slots import Running, Slots
from listener.errors import AttemptInterrupted, Cancelled, ConfigError, LeaseLost, SchemaTooNew, StoreUnavailable
from listener.ports import Attempt, Pulse, Registered, Registration, WatchedTable
from listener.telemetry import log
from tests.engine.engine_support import TABLES, HandClock, MemoryStore, running_of

LEASE_S = 30.0


class Beating:
    """A heartbeat on a hand-set clock, one turn at a time."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.clock = HandClock()
        self.slots = Slots(3, lambda _reason: None)
        self.open: list[UUID] = []
        self.tables: list[Sequence[WatchedTable]] = []
        self.beats: list[float] = []
        self.woken: list[str] = []
        listeners = Listeners(lambda: self.open, self.tables.append, self.beats.append, self.woken.append)
        self.heartbeat = Heartbeat(
            store=self.store,
            registration=Registration(uuid4(), "test", ("headshot",), 3, "0", LEASE_S),
            interval_s=10,
            slots=self.slots,
            listeners=listeners,
            clock=self.clock,
            log=log.get("test"),
        )

    def run_one(self) -> Running:
        running = running_of(self.store.add())
        self.slots.take(running)
        return running


def stopped_by(running: Running) -> type[BaseException] | None:
    try:
        running.interruption.check()
    except AttemptInterrupted as reason:
        return type(reason)
    return None


async def test_a_worker_registers_then_renews_everything_with_one_call() -> None:
    beating = Beating()
    assert beating.heartbeat.refusal() is not None
    assert await beating.heartbeat.turn() == 10
    assert beating.heartbeat.refusal() is None
    assert (beating.tables, beating.woken) == ([TABLES], ["registered"])
    running, claim = [beating.run_one(), beating.run_one()], uuid4()
    beating.open = [claim]
    await beating.heartbeat.turn()
    assert beating.store.heartbeats == [([one.attempt for one in running], [claim])]
    assert beating.store.calls == ["register", "heartbeat"]


async def test_a_lease_that_ran_out_stops_all_attempts_counted_from_before_the_heartbeat_was_sent(logged: Any) -> None:
    beating = Beating()
    await beating.heartbeat.turn()
    running = beating.run_one()
    renewed = beating.clock.at
    beating.store.holds["heartbeat"] = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        turn = group.create_task(beating.heartbeat.turn())
        await asyncio.sleep(0)
        beating.clock.at = renewed + 8  # the answer takes 8 s: the lease counts from the sending
        beating.store.holds.pop("heartbeat").set()
        await turn
    beating.store.faults["heartbeat"] = [StoreUnavailable("503")] * 9
    beating.clock.at = renewed + LEASE_S - 0.1
    await beating.heartbeat.turn()
    assert stopped_by(running) is None
    beating.clock.at = renewed + LEASE_S
    await beating.heartbeat.turn()
    assert stopped_by(running) is LeaseLost
    assert beating.heartbeat.refusal() is not None
    assert logged("lease_expired")[0]["attempts_stopped"] == 1


async def test_a_worker_that_slept_longer_than_its_lease_stops_before_it_speaks() -> None:
    beating = Beating()
    await beating.heartbeat.turn()
    running = beating.run_one()
    beating.clock.at += LEASE_S + 1
    await beating.heartbeat.turn()
    assert stopped_by(running) is LeaseLost
    assert beating.heartbeat.refusal() is None, "it renewed and may claim again"


async def test_cancels_and_lost_attempts_are_delivered_to_those_they_mean() -> None:
    beating = Beating()
    await beating.heartbeat.turn()
    cancelled, lost, newer, untouched = (beating.run_one() for _ in range(4))
    stale = Attempt(newer.attempt.session, newer.attempt.attempt - 1)
    beating.store.pulse = Pulse((cancelled.attempt.session, uuid4()), (lost.attempt, stale), tables=TABLES)
    await beating.heartbeat.turn()
    assert [stopped_by(one) for one in (cancelled, lost, newer, untouched)] == [Cancelled, LeaseLost, None, None]


async def test_a_cancel_is_heard_between_two_heartbeats_and_nobody_asks_while_nothing_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heartbeat, "LOOK_S", 0.005)
    beating = Beating()
    await beating.heartbeat.turn()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        watching = group.create_task(beating.heartbeat.watch_cancels())
        await asyncio.sleep(0.05)
        assert "requested_cancels" not in beating.store.calls
        beating.store.faults["requested_cancels"] = [StoreUnavailable("503")]
        meant, other = beating.run_one(), beating.run_one()
        for running in (meant, other):
            beating.store.rows[running.attempt.session].status = "processing"
        beating.store.rows[meant.attempt.session].cancel_requested = True
        while stopped_by(meant) is None:
            await asyncio.sleep(0.001)
        watching.cancel()
    assert (stopped_by(meant), stopped_by(other)) == (Cancelled, None)
    assert "heartbeat" not in beating.store.calls


async def test_a_forgotten_worker_registers_again_at_once() -> None:
    beating = Beating()
    await beating.heartbeat.turn()
    beating.store.pulse = Pulse(known=False)
    assert await beating.heartbeat.turn() == 0.0
    assert beating.heartbeat.refusal() is not None
    beating.store.pulse = Pulse(tables=TABLES)
    await beating.heartbeat.turn()
    assert beating.store.calls == ["register", "heartbeat", "register"]
    assert beating.heartbeat.refusal() is None


async def test_a_store_that_is_away_is_asked_again_soon_and_the_reason_is_told(logged: Any) -> None:
    beating = Beating()
    beating.store.faults["register"] = [StoreUnavailable("no route")] * 2
    delay_s = await beating.heartbeat.turn()
    assert 0 < delay_s <= 5
    assert "no route" in str(beating.heartbeat.refusal())
    await beating.heartbeat.turn()
    assert await beating.heartbeat.turn() == 10


async def test_the_canary_hears_the_time_before_the_sending() -> None:
    beating = Beating()
    await beating.heartbeat.turn()
    sent_at = beating.clock.at
    await beating.heartbeat.turn()
    assert beating.beats == [sent_at]


async def test_delayed_sessions_that_became_due_are_claimed_at_once() -> None:
    beating = Beating()
    await beating.heartbeat.turn()
    beating.store.pulse = Pulse(tables=TABLES, promoted=2)
    await beating.heartbeat.turn()
    assert beating.woken == ["registered", "promoted"]


async def test_a_schema_that_is_too_old_ends_the_daemon_with_the_reason() -> None:
    beating = Beating()

    async def old(_registration: Registration) -> Registered:
        return Registered(0, LEASE_S)

    beating.store.register = old  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="listener migrate"):
        await beating.heartbeat.turn()


async def test_a_newer_schema_that_still_serves_this_worker_is_no_reason_to_end() -> None:
    beating = Beating()

    async def newer(_registration: Registration) -> Registered:
        return Registered(SCHEMA_VERSION + 5, LEASE_S, TABLES, oldest_worker=SCHEMA_VERSION)

    beating.store.register = newer  # type: ignore[method-assign]
    beating.store.pulse = Pulse(schema_version=SCHEMA_VERSION + 5, oldest_worker=SCHEMA_VERSION)
    await beating.heartbeat.turn()
    await beating.heartbeat.turn()
    assert beating.heartbeat.refusal() is None


async def test_a_schema_that_no_longer_serves_this_worker_ends_it_at_the_start() -> None:
    beating = Beating()

    async def newer(_registration: Registration) -> Registered:
        return Registered(SCHEMA_VERSION + 1, LEASE_S, TABLES, oldest_worker=SCHEMA_VERSION + 1)

    beating.store.register = newer  # type: ignore[method-assign]
    with pytest.raises(SchemaTooNew, match="install a newer version"):
        await beating.heartbeat.turn()


async def test_a_schema_that_stops_serving_a_running_worker_ends_it_at_its_next_heartbeat() -> None:
    beating = Beating()
    await beating.heartbeat.turn()
    beating.store.pulse = Pulse(tables=TABLES, oldest_worker=SCHEMA_VERSION + 1)
    with pytest.raises(SchemaTooNew):
        await beating.heartbeat.turn()


async def test_every_heartbeat_says_what_the_worker_does_as_it_is_sent() -> None:
    beating = Beating()
    await beating.heartbeat.turn()
    await beating.heartbeat.turn()
    states = iter(["paused: generator", "claiming", "draining"])
    beating.heartbeat.says(lambda: next(states))
    await beating.heartbeat.turn()
    await beating.heartbeat.turn()
    await beating.heartbeat.beat_empty()
    assert beating.store.states == [None, "paused: generator", "claiming", "draining"]
    assert beating.store.calls == ["register"] + ["heartbeat"] * 4, "it costs no call of its own"


async def test_a_daemon_that_ends_says_that_nothing_runs() -> None:
    beating = Beating()
    await beating.heartbeat.turn()
    await beating.heartbeat.beat_empty()
    assert beating.store.heartbeats == [([], [])]


async def test_a_hanging_heartbeat_does_not_outlive_the_lease_of_what_runs() -> None:
    """A half-open connection never answers: the lease ends anyway, and with it the attempts."""
    beating = Beating()
    await beating.heartbeat.turn()
    running = beating.run_one()
    beating.store.holds["heartbeat"] = asyncio.Event()
    beating.clock.at += LEASE_S - 0.01
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        turn = group.create_task(beating.heartbeat.turn())
        await beating.store.entered.setdefault("heartbeat", asyncio.Event()).wait()
        beating.clock.at += 0.02
        await turn
    assert stopped_by(running) is LeaseLost
    assert "no answer before the lease ran out" in str(beating.heartbeat.refusal())


async def test_the_wall_clock_may_jump_without_any_effect_on_the_lease() -> None:
    class Jumping(HandClock):
        def now(self) -> datetime:
            raise AssertionError("the time of day was asked")

    beating = Beating()
    beating.heartbeat._clock = Jumping()
    await beating.heartbeat.turn()
    await beating.heartbeat.turn()
    assert beating.heartbeat.refusal() is None


async def test_its_age_and_what_is_left_of_the_lease_can_be_read() -> None:
    beating = Beating()
    assert (beating.heartbeat.age_s(), beating.heartbeat.left_s()) == (None, 0.0)
    await beating.heartbeat.turn()
    beating.clock.at += 4
    assert (beating.heartbeat.age_s(), beating.heartbeat.left_s()) == (4, LEASE_S - 4)
    beating.clock.at += LEASE_S
    assert beating.heartbeat.left_s() == 0.0


async def test_the_first_failure_of_a_row_tells_its_traceback_and_the_next_ones_a_line_each(logged: Any) -> None:
    beating = Beating()
    beating.store.faults["register"] = [StoreUnavailable("no route")] * 3
    for _ in range(3):
        await beating.heartbeat.turn()
    assert ["exception" in line for line in logged("heartbeat_failed")] == [True, False, False]


async def test_it_beats_until_it_is_stopped() -> None:
    beating = Beating()
    beating.heartbeat._interval_s = 0.001
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(beating.heartbeat.run())
        while len(beating.store.heartbeats) < 2:
            await asyncio.sleep(0)
        beating.heartbeat.stop()
    assert beating.store.calls[0] == "register"


async def test_a_daemon_that_was_never_registered_ends_without_a_word() -> None:
    beating = Beating()
    await beating.heartbeat.beat_empty()
    assert beating.store.heartbeats == []


async def test_a_lease_that_ran_out_while_nothing_ran_is_no_error(logged: Any) -> None:
    beating = Beating()
    await beating.heartbeat.turn()
    beating.clock.at += LEASE_S + 1
    assert "the lease ran out" in str(beating.heartbeat.refusal())
    beating.store.faults["heartbeat"] = [StoreUnavailable("503")]
    await beating.heartbeat.turn()
    assert logged("lease_expired") == []
