"""What counts as an attempt's time: work does, waiting in line for a device does not, and not for ever."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from listener.contract import IN_LINE, Context, Generation, GenerationRequest, OnStep, Session
from listener.engine.allowance import Allowance
from listener.engine.interruption import Interruption
from listener.errors import Cancelled
from tests.engine.engine_support import Bench, HandClock, PortraitParams, TinyGenerator, running_of


class LineGenerator(TinyGenerator):
    """Lets every request stand in line until the gate opens."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.in_line = asyncio.Event()

    async def generate(self, request: GenerationRequest, on_step: OnStep) -> Generation:
        on_step(*IN_LINE)
        self.in_line.set()
        await self.gate.wait()
        on_step(0, self.steps)
        return await super().generate(request, on_step)


def an_allowance(limit_s: float = 60) -> tuple[Allowance, HandClock]:
    clock = HandClock()
    return Allowance(limit_s, clock, Interruption()), clock


def test_time_stands_still_while_all_that_goes_on_is_waiting() -> None:
    allowance, clock = an_allowance()
    clock.at += 10
    allowance.waits("first")
    clock.at += 30
    assert (allowance.left_s(), allowance.waited_s()) == (50, 30)
    allowance.waits("second")
    allowance.works("first")
    clock.at += 5
    assert allowance.left_s() == 45, "one is worked on: time runs, though another waits"
    allowance.ends("first")
    clock.at += 7
    assert allowance.left_s() == 45
    allowance.ends("second")
    clock.at += 1
    assert allowance.left_s() == 44


def test_waiting_is_free_for_as_long_as_the_limit_and_no_longer() -> None:
    allowance, clock = an_allowance()
    allowance.waits("one")
    clock.at += 60
    assert allowance.left_s() == 60
    clock.at += 40
    assert allowance.left_s() == 20
    clock.at += 40
    assert allowance.left_s() == 0, "twice the limit is the end of everything"


def test_the_same_word_twice_changes_nothing() -> None:
    allowance, clock = an_allowance()
    for _ in range(2):
        allowance.waits("one")
        clock.at += 10
    assert allowance.waited_s() == 20
    for _ in range(2):
        allowance.works("one")
        clock.at += 10
    assert (allowance.waited_s(), allowance.left_s()) == (20, 40)
    for _ in range(2):
        allowance.ends("one")
    assert allowance.left_s() == 40


async def test_an_attempt_that_waits_longer_than_its_limit_still_has_its_time_to_work(bench: Bench) -> None:
    generator = LineGenerator()
    bench.generator = generator
    left: list[float] = []

    async def act(session: Session, _params: PortraitParams, context: Context) -> None:
        await context.generate(GenerationRequest("headshot", session.id, "x", (1,)))
        left.append(context.remaining_s())

    bench.clock = SystemLike()
    running = asyncio.ensure_future(bench.attempt(act, time_limit_s=0.4))
    await generator.in_line.wait()
    await asyncio.sleep(0.5)
    generator.gate.set()
    row, _ = await running
    assert row.status == "completed"
    assert 0 < left[0] < 0.4


async def test_an_attempt_that_waits_for_ever_ends_at_twice_its_limit(bench: Bench) -> None:
    bench.generator, bench.clock = LineGenerator(), SystemLike()
    loop = asyncio.get_running_loop()
    began = loop.time()
    row, _ = await bench.attempt(time_limit_s=0.2)
    assert row.failure is not None
    assert row.failure.code == "time_limit"
    assert loop.time() - began >= 0.4


async def test_an_interruption_reaches_an_attempt_that_waits_and_leaving_the_line_does_not_undo_it(
    bench: Bench,
) -> None:
    generator = LineGenerator()
    bench.generator = generator
    session = bench.store.add()
    running = running_of(session)
    attempt = asyncio.ensure_future(bench.attempt(running=running))
    await generator.in_line.wait()
    running.interruption.request(Cancelled())
    generator.gate.set()
    row, _ = await asyncio.wait_for(attempt, 5)
    assert row.status == "cancelled"


async def test_where_the_time_of_an_attempt_went_is_told_by_stage(bench: Bench, logged: Any) -> None:
    generator, told = LineGenerator(), []
    bench.generator, bench.on_stage = generator, lambda *stage: told.append(stage)
    running = asyncio.ensure_future(bench.attempt())
    await generator.in_line.wait()
    bench.clock.at += 3
    generator.gate.set()
    await running
    assert [(kind, stage) for kind, stage, _ in told] == [
        ("headshot", stage) for stage in ("wait", "generate", "encode", "upload")
    ]
    assert told[0][2] == pytest.approx(3)
    [line] = logged("attempt_settled")
    assert line["stages_s"] == {"wait": 3.0, "generate": 0.0, "encode": 0.0, "upload": 0.0}


class SystemLike(HandClock):
    """The loop's own time."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()
