"""What an attempt comes to: the seconds of devices of our own, and dollars; told once, with the settlement."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from listener.contract import IN_LINE, Context, GeneratedImage, Generation, GenerationRequest, OnStep, Session
from listener.engine.allowance import Allowance
from listener.engine.backoff import Backoff
from listener.engine.breaker import Breaker, Patience
from listener.engine.interruption import Interruption
from listener.engine.routing import Member, RoutedGenerator
from listener.engine.spending import Spending
from listener.engine.stages import Stages, Turn
from listener.errors import GenerationFailed, LeaseLost, ProviderDown
from listener.ports import Cost
from listener.telemetry import log
from listener.telemetry.metrics import Metrics
from tests.engine.engine_support import Bench, HandClock, PortraitParams, TinyGenerator

Work = Callable[[HandClock, OnStep], None]


class Engine(TinyGenerator):
    """Does a piece of work by the hand-set clock, then makes its pixel or fails."""

    def __init__(self, clock: HandClock, work: Work, cost_usd: float | None = None, fault: Exception | None = None):
        super().__init__()
        self._clock = clock
        self._work = work
        self._cost_usd = cost_usd
        self._fault = fault

    async def generate(self, request: GenerationRequest, on_step: OnStep) -> Generation:
        self._work(self._clock, on_step)
        if self._fault is not None:
            raise self._fault
        image = GeneratedImage(b"\x80" * 3, 1, 1, request.seeds[0])
        return Generation((image,), "m", "P", "cuda:0", 1, None, 0.0, cost_usd=self._cost_usd)

    @asynccontextmanager
    async def exclusive(self, _borrower: str) -> AsyncIterator[str]:
        self._clock.at += 20
        yield "cuda:0"


def works(seconds: float, waits: float = 0.0) -> Work:
    def work(clock: HandClock, on_step: OnStep) -> None:
        if waits:
            on_step(*IN_LINE)
            clock.at += waits
        on_step(0, 4)
        clock.at += seconds
        on_step(4, 4)

    return work


def routed(clock: HandClock, **members: tuple[TinyGenerator, bool]) -> RoutedGenerator:
    """Generators in this order; with True, somebody else's."""
    patience = Patience(3, Backoff(first_s=1, limit_s=2))
    made = {
        name: Member(
            name,
            generator,
            Breaker(name, clock, log.get("test"), None, patience),
            (lambda _permit: None) if is_remote else None,
        )
        for name, (generator, is_remote) in members.items()
    }
    return RoutedGenerator(made, {"headshot": tuple(made)}, Metrics(), clock, log.get("test"))


def bench_of(generator: Any, clock: HandClock, price: float = 3.6) -> tuple[Bench, list[tuple[str, Cost]]]:
    told: list[tuple[str, Cost]] = []
    bench = Bench(generator=generator, clock=clock, price_per_hour_usd=price)
    bench.on_cost = lambda kind, device_s, cost_usd: told.append((kind, Cost(device_s, cost_usd)))
    return bench, told


async def test_device_seconds_are_those_of_the_work_and_not_of_the_line() -> None:
    clock = HandClock()
    bench, told = bench_of(Engine(clock, works(10, waits=30)), clock)
    row, settled = await bench.attempt()
    assert (settled.outcome, row.cost) == ("applied", Cost(10.0, 0.01))
    assert told == [("headshot", Cost(10.0, 0.01))]


async def test_who_gives_up_in_the_line_has_used_no_device() -> None:
    clock = HandClock()

    def waits(clock: HandClock, on_step: OnStep) -> None:
        on_step(*IN_LINE)
        clock.at += 30

    bench, _ = bench_of(Engine(clock, waits, fault=GenerationFailed("no")), clock)
    row, _ = await bench.attempt()
    assert row.cost == Cost(None, None)


@pytest.mark.parametrize(("price", "cost_usd"), [(0.0, None), (36.0, 0.1)])
async def test_without_a_price_the_seconds_are_told_alone(price: float, cost_usd: float | None) -> None:
    clock = HandClock()
    bench, _ = bench_of(Engine(clock, works(10)), clock, price)
    row, _ = await bench.attempt()
    assert row.cost == Cost(10.0, cost_usd)


async def test_a_failed_attempt_has_cost_what_it_used() -> None:
    clock = HandClock()
    bench, told = bench_of(Engine(clock, works(10), fault=GenerationFailed("no")), clock)
    row, _ = await bench.attempt()
    assert (row.status, row.cost) == ("failed", Cost(10.0, 0.01))
    assert len(told) == 1


async def test_a_provider_s_time_is_no_device_s_and_its_price_is_told() -> None:
    clock = HandClock()
    bench, _ = bench_of(routed(clock, far=(Engine(clock, works(50), cost_usd=0.04), True)), clock)
    row, _ = await bench.attempt()
    assert row.cost == Cost(None, 0.04)


async def test_what_was_made_here_after_a_provider_gave_up_counts_here_alone() -> None:
    clock = HandClock()
    far = Engine(clock, works(50), fault=ProviderDown("down"))
    bench, _ = bench_of(routed(clock, far=(far, True), near=(Engine(clock, works(10, waits=5)), False)), clock)
    row, _ = await bench.attempt()
    assert row.cost == Cost(10.0, 0.01)


async def test_a_provider_after_our_own_device_adds_its_price_to_the_device_s() -> None:
    clock = HandClock()
    near = Engine(clock, works(10), fault=ProviderDown("gone"))
    bench, _ = bench_of(routed(clock, near=(near, False), far=(Engine(clock, works(50), cost_usd=0.5), True)), clock)
    row, _ = await bench.attempt()
    assert row.cost == Cost(10.0, 0.51)


async def test_a_borrowed_device_counts_from_the_moment_it_is_there() -> None:
    clock = HandClock()
    bench, _ = bench_of(Engine(clock, works(1)), clock)

    async def act(_session: Session, _params: PortraitParams, context: Context) -> None:
        async with context.exclusive_device():
            clock.at += 10
        context.finish({})

    row, _ = await bench.attempt(act)
    assert row.cost == Cost(10.0, 0.01)


async def test_several_images_add_up_and_nothing_made_is_nothing_known() -> None:
    clock = HandClock()
    bench, _ = bench_of(Engine(clock, works(10), cost_usd=0.25), clock)

    async def three(session: Session, _params: PortraitParams, context: Context) -> None:
        for seed in range(3):
            await context.generate(GenerationRequest("headshot", session.id, "p", (seed,)))
        context.finish({})

    row, _ = await bench.attempt(three)
    assert row.cost == Cost(30.0, 0.78)

    async def none(_session: Session, _params: PortraitParams, context: Context) -> None:
        context.finish({})

    row, _ = await bench.attempt(none)
    assert row.cost == Cost(None, None)


async def test_an_answer_that_is_lost_tells_the_same_cost_again_and_it_is_counted_once() -> None:
    clock = HandClock()
    bench, told = bench_of(Engine(clock, works(10)), clock)
    bench.store.lost["complete"] = 1
    row, settled = await bench.attempt()
    assert (settled.outcome, row.cost, len(told)) == ("already", Cost(10.0, 0.01), 1)


async def test_who_lost_the_lease_writes_no_cost() -> None:
    clock = HandClock()
    bench, told = bench_of(Engine(clock, works(10)), clock)

    async def act(session: Session, _params: PortraitParams, context: Context) -> None:
        await context.generate(GenerationRequest("headshot", session.id, "p", (1,)))
        raise LeaseLost("gone")

    row, settled = await bench.attempt(act)
    assert (settled.outcome, row.cost) == ("none", None)
    assert told == [("headshot", Cost(10.0, 0.01))], "the device has worked all the same"


def test_a_price_below_nothing_is_no_income() -> None:
    spending = Spending(0.0)
    spending.provider_took(-1.0)
    assert spending.cost() == Cost(None, 0.0)


def test_a_line_that_is_told_twice_is_one_line() -> None:
    clock, spending = HandClock(), Spending(0.0)
    with Turn(Allowance(60, clock, Interruption()), Stages("headshot", clock, lambda *_: None), spending) as turn:
        for _ in range(2):
            turn.stands()
            clock.at += 10
        turn.goes_on()
        clock.at += 5
    assert spending.cost() == Cost(5.0, None)
