"""Every call to a dependency is counted, timed and judged; work that is done goes out whatever the circuit says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from listener.contract import Fetched, GenerationRequest, SavedArtifact
from listener.engine.breaker import Breaker, State
from listener.engine.gauge import Gauge
from listener.engine.guarded import GuardedArtifacts, GuardedModerator, GuardedStore
from listener.engine.guarded_generator import GuardedGenerator
from listener.engine.inputs import PICTURES
from listener.engine.slots import Running, Slots
from listener.errors import (
    ContentRejected,
    GenerationFailed,
    ModelUnavailable,
    ModerationDown,
    RuntimeDied,
    StoreRejected,
    StoreUnavailable,
)
from listener.ports import Attempt, Failure, Permitted, Registration, Swept
from listener.telemetry import log
from listener.telemetry.metrics import Metrics
from tests.engine.engine_support import HandClock, MemoryObjects, MemoryStore, TinyGenerator, a_session

OPENS_AFTER = 5
GRANTED = Permitted(known=True, granted=1)


class Guarded:
    """One guarded store on a hand-set clock."""

    def __init__(self) -> None:
        self.clock, self.metrics, self.memory = HandClock(), Metrics(), MemoryStore()
        self.breaker = Breaker("database", self.clock, log.get("test"))
        self.gauge = Gauge(self.breaker, self.metrics, self.clock)
        self.slots = Slots(4, lambda _reason: None)
        self.store = GuardedStore(self.memory, self.gauge, self.slots)

    async def run_one(self, *, is_last_try: bool = False, **fields: Any) -> Attempt:
        """Claim a session and let it hold a slot."""
        session = self.memory.add(**fields)
        await self.store.claim(uuid4(), ["headshot"], 1)
        attempt = Attempt(session.id, session.attempt)
        running = Running(attempt, "headshot", started_at=self.clock.at, is_last_try=is_last_try)
        running.created_at = session.created_at
        self.slots.take(running)
        return attempt

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)

    def calls(self, call: str) -> float | None:
        return self.value("listener_dependency_calls_total", dependency="database", call=call, result="ok")

    async def open_circuit(self) -> None:
        for _ in range(OPENS_AFTER):
            self.breaker.failed(StoreUnavailable("503"))
        assert self.breaker.state is State.OPEN


async def test_calls_that_fail_in_a_row_open_the_circuit_and_one_that_works_closes_it() -> None:
    guarded = Guarded()
    guarded.memory.faults["heartbeat"] = [StoreUnavailable("503")] * OPENS_AFTER
    for _ in range(OPENS_AFTER):
        with pytest.raises(StoreUnavailable):
            await guarded.store.heartbeat([], [])
    assert guarded.breaker.state is State.OPEN
    await guarded.store.heartbeat([], [])
    assert guarded.breaker.state is State.CLOSED
    assert guarded.value(
        "listener_dependency_calls_total", dependency="database", call="heartbeat", result="unavailable"
    ) == float(OPENS_AFTER)


async def test_a_refusal_is_an_answer_and_opens_nothing() -> None:
    guarded = Guarded()
    guarded.memory.faults["heartbeat"] = [StoreRejected("42501")] * (OPENS_AFTER + 1)
    for _ in range(OPENS_AFTER + 1):
        with pytest.raises(StoreRejected):
            await guarded.store.heartbeat([], [])
    assert guarded.breaker.state is State.CLOSED


async def test_while_it_is_open_nothing_optional_is_called_and_every_settlement_is() -> None:
    guarded = Guarded()
    attempt = await guarded.run_one()
    await guarded.open_circuit()
    guarded.memory.calls.clear()
    with pytest.raises(StoreUnavailable, match="not called: database keeps failing: 503"):
        await guarded.store.sweep()
    with pytest.raises(StoreUnavailable):
        await guarded.store.report_progress(attempt, 1, 2, "")
    assert guarded.memory.calls == []
    assert (await guarded.store.complete(attempt, {})).outcome == "applied"
    assert guarded.breaker.state is State.CLOSED


async def test_a_call_that_is_interrupted_blames_nobody() -> None:
    guarded = Guarded()
    guarded.memory.holds["heartbeat"] = asyncio.Event()
    for _ in range(OPENS_AFTER + 1):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await guarded.store.heartbeat([], [])
    assert (guarded.breaker.state, guarded.breaker.last_error) == (State.CLOSED, None)


@pytest.mark.parametrize(
    ("call", "outcome", "code"),
    [
        (lambda store, attempt: store.complete(attempt, {}), "completed", None),
        (lambda store, attempt: store.cancel(attempt), "cancelled", None),
        (lambda store, attempt: store.release(attempt), "released", None),
        (lambda store, attempt: store.fail(attempt, Failure("time_limit", "x")), "failed", "time_limit"),
        (lambda store, attempt: store.retry(attempt, Failure("out_of_memory", "x"), 1), "retried", "out_of_memory"),
    ],
)
async def test_attempts_are_counted_by_kind_and_outcome_with_their_duration(
    call: Any, outcome: str, code: str | None
) -> None:
    guarded = Guarded()
    attempt = await guarded.run_one()
    guarded.clock.at += 12
    await call(guarded.store, attempt)
    labels = {"kind": "headshot", "outcome": outcome}
    assert guarded.value("listener_sessions_settled_total", **labels) == 1
    assert guarded.value("listener_attempt_duration_seconds_sum", **labels) == 12
    if code is not None:
        assert guarded.value("listener_attempt_failures_total", kind="headshot", code=code) == 1


async def test_the_retry_after_the_last_failure_counts_as_failed() -> None:
    guarded = Guarded()
    attempt = await guarded.run_one(is_last_try=True)
    await guarded.store.retry(attempt, Failure("runtime_died", "x"), 1)
    assert guarded.value("listener_sessions_settled_total", kind="headshot", outcome="failed") == 1


async def test_what_a_stale_attempt_writes_counts_as_a_lost_lease_and_as_no_failure() -> None:
    guarded = Guarded()
    attempt = await guarded.run_one()
    guarded.memory.rows[attempt.session].status = "queued"
    await guarded.store.fail(attempt, Failure("time_limit", "x"))
    assert guarded.value("listener_sessions_settled_total", kind="headshot", outcome="lease_lost") == 1
    assert guarded.value("listener_attempt_failures_total", kind="headshot", code="time_limit") is None


async def test_the_wait_of_a_first_attempt_is_measured_and_of_a_later_one_is_not() -> None:
    guarded = Guarded()
    await guarded.run_one(created_at=guarded.clock.now())
    await guarded.run_one(attempt=2)
    assert guarded.value("listener_pickup_seconds_count", kind="headshot") == 1
    assert guarded.value("listener_sessions_claimed_total", kind="headshot") == 2
    assert guarded.value("listener_claims_total", result="sessions") == 2
    await guarded.store.claim(uuid4(), ["headshot"], 1)
    assert guarded.value("listener_claims_total", result="empty") == 1


async def test_the_calls_of_an_attempt_are_counted_each_by_its_name() -> None:
    guarded = Guarded()
    attempt = await guarded.run_one()
    await guarded.store.register(Registration(uuid4(), "w", ("headshot",), 1, "0", 30))
    await guarded.store.report_progress(attempt, 1, 2, "")
    saved = SavedArtifact("a.png", "headshots", "a.png", "https://x", guarded.clock.now(), 1, "image/png", 1, 1)
    await guarded.store.add_artifact(attempt, saved)
    row = guarded.memory.rows[attempt.session]
    assert (row.progress, list(row.artifacts)) == ([(1, 2, "")], ["a.png"])
    for call in ("register", "claim", "report_progress", "add_artifact"):
        assert guarded.calls(call) == 1


async def test_permits_are_asked_for_and_counted() -> None:
    guarded = Guarded()
    assert await guarded.store.acquire_permits("headshot", 1) == GRANTED
    assert guarded.calls("acquire_permits") == 1


async def test_objects_are_read_and_signed_under_the_same_circuit() -> None:
    guarded, objects = Guarded(), MemoryObjects()
    artifacts = GuardedArtifacts(objects, guarded.gauge)
    objects.objects["b", "p"] = (b"x", "image/png")
    assert await artifacts.get("b", "p", PICTURES) == Fetched(b"x", "image/png")
    assert await artifacts.sign("b", "p", 60) == await objects.sign("b", "p", 60)
    assert (guarded.calls("get"), guarded.calls("sign")) == (1, 1)


async def test_a_guarded_generator_starts_tells_its_state_and_closes() -> None:
    class Seen(TinyGenerator):
        def __init__(self) -> None:
            super().__init__()
            self.calls: list[str] = []

        async def start(self) -> None:
            self.calls.append("start")

        async def close(self) -> None:
            self.calls.append("close")

    seen = Seen()
    generator = GuardedGenerator(seen, Guarded().gauge)
    await generator.start()
    assert generator.status() == seen.state
    await generator.close()
    assert seen.calls == ["start", "close"]


async def test_a_guarded_generator_lends_the_device_that_it_has_and_no_other() -> None:
    class Lender(TinyGenerator):
        @asynccontextmanager
        async def exclusive(self, borrower: str, /) -> AsyncIterator[str]:
            yield f"cuda:0 for {borrower}"

    gauge = Guarded().gauge
    async with GuardedGenerator(Lender(), gauge).exclusive("avatar") as device:
        assert device == "cuda:0 for avatar"
    with pytest.raises(ModelUnavailable, match="no device of its own"):
        GuardedGenerator(TinyGenerator(), gauge).exclusive("avatar")


async def test_sweeps_count_what_they_found() -> None:
    guarded = Guarded()
    guarded.memory.swept = Swept(rescued=2, failed=1)
    await guarded.store.sweep()
    assert guarded.value("listener_sessions_swept_total", result="rescued") == 2


async def test_uploads_go_out_while_the_circuit_is_open_and_close_it() -> None:
    guarded = Guarded()
    objects = MemoryObjects()
    artifacts = GuardedArtifacts(objects, guarded.gauge)
    objects.faults = [StoreUnavailable("507 storage full")] * OPENS_AFTER
    for _ in range(OPENS_AFTER):
        with pytest.raises(StoreUnavailable):
            await artifacts.put("b", "p", b"", "image/png")
    assert guarded.breaker.refusal() == "database keeps failing: 507 storage full"
    await artifacts.put("b", "p", b"", "image/png")
    assert guarded.breaker.state is State.CLOSED


async def test_a_runtime_that_dies_with_every_session_opens_its_circuit_and_a_failed_generation_does_not() -> None:
    guarded = Guarded()
    endings: list[Exception] = [GenerationFailed()] * (OPENS_AFTER + 1) + [RuntimeDied()] * OPENS_AFTER

    class Dying(TinyGenerator):
        async def generate(self, request: GenerationRequest, on_step: Any) -> Any:
            raise endings.pop(0)

    generator = GuardedGenerator(Dying(), guarded.gauge)
    request = GenerationRequest("headshot", a_session().id, "x", (1,))
    states = []
    while endings:
        with pytest.raises((GenerationFailed, RuntimeDied)):
            await generator.generate(request, lambda _done, _total: None)
        states.append(guarded.breaker.state)
    assert states[-2:] == [State.CLOSED, State.OPEN]
    assert set(states[:-1]) == {State.CLOSED}


async def test_a_moderator_that_is_down_opens_its_circuit_and_one_that_refuses_does_not() -> None:
    guarded = Guarded()
    answers: list[Exception | None] = [ContentRejected()] * OPENS_AFTER + [ModerationDown()] * OPENS_AFTER + [None]

    class Moderator:
        async def judge(self, texts: Any) -> None:
            if (answer := answers.pop(0)) is not None:
                raise answer

        async def close(self) -> None:
            closed.append(True)

    closed: list[bool] = []
    moderator = GuardedModerator(Moderator(), guarded.gauge)
    states = []
    while len(answers) > 1:
        with pytest.raises((ContentRejected, ModerationDown)):
            await moderator.judge({"prompt": "x"})
        states.append(guarded.breaker.state)
    assert states[-2:] == [State.CLOSED, State.OPEN]
    await moderator.judge({"prompt": "x"})
    assert guarded.breaker.state is State.CLOSED
    await moderator.close()
    assert closed == [True]


async def test_a_claim_that_is_rejected_is_told_until_one_is_answered() -> None:
    guarded = Guarded()
    guarded.memory.faults["claim"] = [StoreRejected("42501 permission denied"), StoreUnavailable("503")]
    for _ in range(2):
        with pytest.raises((StoreRejected, StoreUnavailable)):
            await guarded.store.claim(uuid4(), ["headshot"], 1)
    assert guarded.store.claims_rejected == "42501 permission denied"
    assert guarded.value("listener_claims_total", result="error") == 2
    await guarded.store.claim(uuid4(), ["headshot"], 1)
    assert guarded.store.claims_rejected is None


async def test_a_completed_session_took_the_time_since_its_insert_and_a_failed_one_tells_none() -> None:
    guarded = Guarded()
    attempt = await guarded.run_one(created_at=guarded.clock.now())
    guarded.clock.at += 7
    await guarded.store.complete(attempt, {})
    failed = await guarded.run_one(created_at=guarded.clock.now())
    await guarded.store.fail(failed, Failure("invalid_params", "no"))
    assert guarded.value("listener_session_seconds_count", kind="headshot") == 1
    assert guarded.value("listener_session_seconds_sum", kind="headshot") == 7


async def test_a_completion_that_is_refused_tells_no_time() -> None:
    guarded = Guarded()
    attempt = await guarded.run_one(created_at=guarded.clock.now())
    guarded.memory.rows[attempt.session].status = "queued"
    await guarded.store.complete(attempt, {})
    assert guarded.value("listener_session_seconds_count", kind="headshot") is None
    assert guarded.value("listener_sessions_settled_total", kind="headshot", outcome="lease_lost") == 1
