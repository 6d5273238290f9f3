"""What the keeper of a device promises: poison, quarantine, retirement, loans, batches of several sessions."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from PIL import Image
from structlog.testing import capture_logs

from handlers.runtime import backoff, casualties
from handlers.runtime.casualties import DEVICE_WINDOW_S, QUARANTINE_S, Casualties
from handlers.runtime.host import LocalGenerator
from handlers.runtime.loading import Loading
from listener.contract import (
    Artifact,
    Context,
    Generation,
    GenerationRequest,
    GeneratorConfig,
    PipelineConfig,
    Session,
)
from listener.errors import GenerationFailed, ModelUnavailable, RuntimeDied
from tests.engine.engine_support import Bench as EngineBench
from tests.engine.engine_support import PortraitParams
from tests.handlers.conftest import Bench

# A child imports torch for seconds, and on a busy machine for half a minute.
pytestmark = pytest.mark.timeout(300)
KLEIN = (PipelineConfig("klein", "embedded", device="cpu"),)


def long_run(bench: Any, session: UUID | None = None) -> asyncio.Task[Generation]:
    """Begin a run that lasts."""
    bench.steps.clear()
    request = GenerationRequest("klein", session or uuid4(), "a portrait", (1,), width=256, height=256, steps=100)
    return asyncio.ensure_future(bench.generator.generate(request, bench.heard))


async def kill_during(bench: Any, session: UUID) -> None:
    """End the child while it runs a session."""
    await bench.ready()
    drawing = long_run(bench, session)
    await bench.until(lambda: bench.steps)
    os.kill(bench.pid, signal.SIGKILL)
    with pytest.raises(RuntimeDied):
        await drawing


@pytest.mark.slow
async def test_a_session_that_ended_two_children_gets_no_third(start: Any) -> None:
    bench = await start(pipelines=KLEIN)
    poison = uuid4()
    for _ in range(2):
        await kill_during(bench, poison)
    with pytest.raises(GenerationFailed, match="ended two generation processes"):
        await long_run(bench, poison)
    assert await bench.draw(), "the others are served"
    assert bench.generator.status().details["restarts"] == 2


@pytest.mark.slow
async def test_a_sick_device_rests_serves_nobody_meanwhile_and_is_tried_again(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(casualties, "DEVICE_SESSIONS_MAX", 1)  # three children take a minute to die one by one
    monkeypatch.setattr(casualties, "QUARANTINE_S", 3.0)
    bench = await start(pipelines=KLEIN)
    await kill_during(bench, uuid4())
    await bench.until(lambda: bench.generator.status().details["pid"] is None)
    status = bench.generator.status()
    assert not status.ready
    assert "in quarantine for 3 s: several sessions ended it" in status.reason
    with pytest.raises(ModelUnavailable, match="in quarantine"):
        await bench.draw()
    with pytest.raises(ModelUnavailable, match="in quarantine"):
        async with bench.generator.exclusive("avatar"):
            pytest.fail("a sick device is not lent")
    await bench.ready()
    assert await bench.draw()


@pytest.mark.slow
async def test_pictures_on_their_way_are_not_lost_to_the_next_try_of_a_kind_that_does_not_load(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "DELAYS_S", (0.02, 0.02))  # the next try is due while something is drawn
    odd = PipelineConfig("odd", "embedded", "NoSuchPipeline", device="cpu")
    bench = await start(pipelines=(*KLEIN, odd), step_timeout_s=30)
    await bench.until(lambda: "no pipeline class" in bench.generator.status().reason)
    with capture_logs() as logs:
        async with asyncio.timeout(60):
            made = await asyncio.gather(*(bench.draw(seed=seed) for seed in range(6)))
    assert [one.images[0].seed for one in made] == list(range(6))
    assert "runtime_load_failed" in {line["event"] for line in logs}
    assert bench.generator.status().details["restarts"] == 0


@pytest.mark.slow
async def test_a_kind_whose_load_ends_the_child_does_not_take_the_others_down_again_and_again(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Loading.load

    async def deadly(loading: Loading, kind: str) -> None:
        if kind == "odd":
            os.kill(loading._child.pid, signal.SIGKILL)
        await whole(loading, kind)

    monkeypatch.setattr(Loading, "load", deadly)
    bench = await start(pipelines=(PipelineConfig("odd", "embedded", device="cpu"), *KLEIN))
    await bench.ready()
    assert set(bench.generator.status().missing) == {"odd"}
    for seed in range(3):
        assert await bench.draw(seed=seed)
    assert bench.generator.status().details["restarts"] == 1


def test_three_sessions_in_ten_minutes_are_too_many_and_after_the_rest_one_is() -> None:
    noted, sessions = Casualties(), [uuid4() for _ in range(6)]
    noted.died_with([sessions[0]], 0)
    noted.died_with([sessions[0]], 1)
    noted.died_with(sessions[1:3], 2)
    assert noted.quarantine_s(3) == 0, "two signs: one session twice, and one death of two that shared a batch"
    noted.died_with([sessions[3]], DEVICE_WINDOW_S + 2.5)
    assert noted.quarantine_s(DEVICE_WINDOW_S + 2.5) == 0, "the first ones are long ago"
    noted.died_with([sessions[4]], DEVICE_WINDOW_S + 3)
    noted.died_with([sessions[5]], DEVICE_WINDOW_S + 4)
    assert noted.quarantine_s(DEVICE_WINDOW_S + 5) == QUARANTINE_S
    assert noted.quarantine_s(2000) == 0
    noted.died_with([uuid4()], 2001)
    assert noted.quarantine_s(2001) == QUARANTINE_S, "on trial, one is enough"
    noted.survived()
    noted.died_with([uuid4()], 3000)
    assert noted.quarantine_s(3000) == 0, "it has earned its trust again"


@pytest.mark.slow
async def test_a_child_is_replaced_after_so_many_runs_and_nobody_notices(start: Any) -> None:
    bench = await start(pipelines=KLEIN, recycle_after_runs=2)
    await bench.ready()
    with capture_logs() as logs:
        made = await asyncio.gather(*(bench.draw(seed=3) for _ in range(5)))
    assert len({one.images for one in made}) == 1
    assert bench.generator.status().details["restarts"] == 2
    assert [line["cause"] for line in logs if line["event"] == "runtime_retired"] == ["it has done 2 runs"] * 2
    assert not [line for line in logs if line["event"] == "runtime_ended"], "no error"


@pytest.mark.slow
async def test_a_child_whose_memory_grew_is_replaced(start: Any) -> None:
    bench = await start(pipelines=KLEIN, recycle_growth_mib=0)
    await bench.ready()
    first = bench.pid
    await bench.draw()
    assert bench.pid == first
    with capture_logs() as logs:
        for side in (256, 512, 1024):  # how much of it stays is the C library's affair
            await bench.draw(width=side, height=side, steps=1)
        await bench.until(lambda: bench.generator.status().details["restarts"] >= 1)
    retired = next(line["cause"] for line in logs if line["event"] == "runtime_retired")
    assert "MiB since its first run" in retired


ENGINE = "import os, sys; sys.exit(os.path.exists(f'/proc/{sys.argv[1]}'))"


async def test_a_handlers_engine_has_the_device_for_itself_and_in_its_turn(start: Any) -> None:
    """The engine is a process of its own, started by a handler through its context, as an attempt runs it."""
    bench = await start(pipelines=KLEIN)
    await bench.ready()
    pid, order = bench.pid, []
    drawing = asyncio.ensure_future(bench.draw())

    async def act(session: Session, _params: PortraitParams, context: Context) -> None:
        async with context.exclusive_device() as device:
            assert drawing.done(), "who came before was served before"
            status = bench.generator.status()
            assert (device, status.ready, status.reason) == ("cpu", False, "the device is lent to headshot")
            engine = await asyncio.create_subprocess_exec(sys.executable, "-c", ENGINE, str(pid))
            assert await engine.wait() == 0, "nothing of ours is on the device"
            order.append("engine")
        await context.save(Artifact("film.mp4", b"film", "video/mp4"))

    attempts = EngineBench(generator=bench.generator)  # type: ignore[arg-type]
    await asyncio.sleep(0)
    borrowing = asyncio.ensure_future(attempts.attempt(act))
    await bench.until(lambda: bench.generator.status().details["waiting"] == 1)
    after = asyncio.ensure_future(bench.draw())
    after.add_done_callback(lambda _: order.append("after"))
    (row, _), _ = await asyncio.gather(borrowing, after)
    assert (row.status, order) == ("completed", ["engine", "after"])
    assert (await drawing).images == after.result().images
    assert bench.generator.status().details["restarts_by"] == {"lent": 1}


@pytest.mark.slow
async def test_a_borrower_that_gives_up_or_fails_leaves_the_device_to_the_others(start: Any) -> None:
    bench = await start(pipelines=KLEIN)
    await bench.ready()
    busy = long_run(bench)
    await bench.until(lambda: bench.steps)

    async def borrow() -> None:
        async with bench.generator.exclusive("avatar"):
            raise LookupError("the engine failed")

    giving_up = asyncio.ensure_future(borrow())
    await asyncio.sleep(0)
    giving_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await giving_up
    failing = asyncio.ensure_future(borrow())
    busy.cancel()
    with pytest.raises(LookupError):
        await failing
    assert await bench.draw()


JOINED = {"device": "cpu", "join_window_s": 0.2, "batch_max": 4}
SUBJECTS = ("a red lighthouse", "a calm portrait of an old man", "x", "many birds above the sea, in winter")
in_one_loop = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def joining(configure: Callable[..., GeneratorConfig]) -> AsyncIterator[Bench]:
    """Two pipelines of different classes that let sessions share a batch."""
    pipelines = (
        PipelineConfig("flux", "embedded", "FluxPipeline", **JOINED),
        PipelineConfig("klein", "embedded", **JOINED),
    )
    generator = LocalGenerator(configure(pipelines))
    await generator.start()
    found = Bench(generator)
    await found.ready()
    yield found
    await generator.close()


def distance(one: Generation, two: Generation) -> int:
    """The largest difference in any colour of any pixel, of 255."""
    return max(abs(a - b) for a, b in zip(one.images[0].rgb, two.images[0].rgb, strict=True))


@in_one_loop
@pytest.mark.parametrize("kind", ["flux", "klein"])
async def test_requests_that_share_a_batch_get_their_own_images_and_steps(joining: Bench, kind: str) -> None:
    alone = [(await joining.draw(kind, prompt=subject, seed=seed, steps=3)) for seed, subject in enumerate(SUBJECTS)]
    heard: list[list[tuple[int, int]]] = [[] for _ in SUBJECTS]

    async def ask(index: int) -> Generation:
        request = GenerationRequest(kind, uuid4(), SUBJECTS[index], (index,), width=64, height=64, steps=3)

        def hear(done: int, total: int) -> None:
            if done:
                heard[index].append((done, total))

        return await joining.generator.generate(request, hear)

    with capture_logs() as logs:
        joined = await asyncio.gather(*map(ask, range(len(SUBJECTS))))
    assert [line["batch"] for line in logs if line["event"] == "generation_done"] == [4] * 4
    assert heard == [[(1, 3), (2, 3), (3, 3)]] * 4
    for index, made in enumerate(joined):
        distances = [distance(made, other) for other in alone]
        assert distances[index] <= 1
        assert min(distances[:index] + distances[index + 1 :]) > 20, "nobody has another one's picture"


@in_one_loop
async def test_nobody_ever_gets_another_sessions_reference(joining: Bench) -> None:
    """Four sessions within one window, alike in size, steps and seed: two with a reference, two without."""
    asked: list[dict[str, Any]] = [
        {"prompt": "the same words", "references": (reference(colour),)} for colour in ((250, 10, 10), (10, 10, 250))
    ]
    asked += [{"prompt": "the same words"}, {"prompt": "other words"}]
    alone = [await joining.draw("klein", seed=3, steps=2, **fields) for fields in asked]
    with capture_logs() as logs:
        together = await asyncio.gather(*(joining.draw("klein", seed=3, steps=2, **fields) for fields in asked))
    batches = sorted(line["batch"] for line in logs if line["event"] == "generation_done")
    assert batches == [1, 1, 2, 2], "whoever brings a reference is drawn alone"
    assert [one.images for one in together[:2]] == [one.images for one in alone[:2]], "bit for bit its own"
    assert len({one.images for one in alone}) == 4, "the references do show, if little with such weights"
    assert [distance(*pair) <= 1 for pair in zip(together, alone, strict=True)] == [True] * 4


def reference(colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(file, "PNG")
    return file.getvalue()


@in_one_loop
async def test_a_member_that_leaves_a_batch_harms_nobody(joining: Bench) -> None:
    bench = joining
    sizes = {"steps": 40, "width": 128, "height": 128}
    alone = await bench.draw("flux", seed=1, **sizes)
    bench.steps.clear()
    with capture_logs() as logs:
        stays, leaves = (asyncio.ensure_future(bench.draw("flux", seed=seed, **sizes)) for seed in (1, 2))
        await bench.until(lambda: len(bench.steps) >= 6)
        leaves.cancel()
        made = await stays
    assert [line["event"] for line in logs if line["event"].startswith("generation_")] == [
        "generation_cancelled",
        "generation_done",
    ]
    assert len(bench.steps) < 70, "nobody hears of the one that left"
    assert distance(made, alone) <= 1
