"""What the runtime promises while nothing goes wrong, with both real pipelines in a real child."""

from __future__ import annotations

import asyncio
import io
import os
import resource
import signal
import sys
from typing import Any
from uuid import uuid4

import psutil
import pytest
from PIL import Image
from structlog.testing import capture_logs

from handlers.runtime.messages import Message
from handlers.runtime.process import Child
from listener.contract import Artifact, Context, GenerationRequest, Session
from listener.errors import InputUnavailable, InvalidParams, ModelUnavailable, OutOfMemory
from tests.engine.engine_support import Bench as EngineBench
from tests.engine.engine_support import PortraitParams

MIB = 1 << 20

pytestmark = pytest.mark.asyncio(loop_scope="module")


def reference(side_px: int = 64) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side_px, side_px), (200, 120, 60)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(("kind", "name", "steps"), [("klein", "Flux2KleinPipeline", 4), ("flux", "FluxPipeline", 25)])
async def test_a_pipeline_draws_with_its_own_defaults(bench: Any, kind: str, name: str, steps: int) -> None:
    made = await bench.draw(kind)
    image = made.images[0]
    assert (made.model, made.pipeline_class, made.device, made.steps) == ("embedded", name, "cpu", steps)
    assert (image.width, image.height, len(image.rgb), image.seed) == (64, 64, 64 * 64 * 3, 7)
    assert len(set(image.rgb)) > 50, "a picture, not one colour"


async def test_guidance_is_used_by_flux_and_noted_where_a_distilled_model_ignores_it(bench: Any) -> None:
    flux = await bench.draw("flux", steps=2)
    assert (flux.guidance_scale, flux.notes) == (7.5, ())
    klein = await bench.draw("klein", guidance_scale=7.5, negative_prompt="hats")
    assert klein.guidance_scale is None
    assert "guidance_scale 7.5 was ignored" in klein.notes[0]
    assert "negative_prompt was ignored" in klein.notes[1]


async def test_the_same_seed_draws_the_same_pixels(bench: Any) -> None:
    first = await bench.draw(seed=11)
    assert (await bench.draw(seed=11)).images == first.images
    assert (await bench.draw(seed=12)).images[0].rgb != first.images[0].rgb
    assert (await bench.draw(seed=11, prompt="a lighthouse")).images[0].rgb != first.images[0].rgb


async def test_several_seeds_draw_what_each_draws_alone(bench: Any) -> None:
    bench.steps.clear()
    pair = await bench.draw(seeds=(1, 2**63 - 1))
    assert bench.steps == [(done, 8) for done in (2, 4, 6, 8)], "both take their steps together"
    for image in pair.images:
        [alone] = (await bench.draw(seed=image.seed)).images
        assert max(abs(one - two) for one, two in zip(image.rgb, alone.rgb, strict=True)) <= 1


async def test_several_prompts_reach_the_child_and_each_draws_what_it_draws_alone(bench: Any) -> None:
    prompts = ("a quokka", "a lighthouse at night")
    pack = await bench.draw("flux", prompt="", prompts=prompts, seeds=(1, 2), steps=2)
    alone = [await bench.draw("flux", prompt=prompt, seed=seed, steps=2) for seed, prompt in enumerate(prompts, 1)]
    for image, one in zip(pack.images, alone, strict=True):
        assert image.seed == one.images[0].seed
        assert max(abs(a - b) for a, b in zip(image.rgb, one.images[0].rgb, strict=True)) <= 1


async def test_each_step_is_told_once_in_order(bench: Any) -> None:
    bench.steps.clear()
    await bench.draw("flux", steps=5)
    assert bench.steps == [(done, 5) for done in range(1, 6)]


async def test_a_step_callback_that_raises_stops_the_run_and_nothing_else(bench: Any) -> None:
    def refuse(done: int, _total: int) -> None:
        if done:
            raise LookupError("the attempt is over")

    request = GenerationRequest("flux", uuid4(), "a portrait", (1,), width=64, height=64, steps=100)
    with pytest.raises(LookupError):
        await bench.generator.generate(request, refuse)
    assert await bench.draw()


async def test_a_cancelled_run_stops_between_two_steps_and_leaves_no_trace(bench: Any) -> None:
    before = await bench.draw("flux", steps=3)
    bench.steps.clear()
    with capture_logs() as logs:
        drawing = asyncio.ensure_future(bench.draw("flux", steps=100, width=512, height=512))
        await bench.until(lambda: len(bench.steps) >= 2)
        drawing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await drawing
        after = await bench.draw("flux", steps=3)
    assert after.images == before.images
    assert [line["event"] for line in logs].count("generation_cancelled") == 1
    assert max(done for done, _ in bench.steps[:-3]) < 50, "it ran on"


async def test_runs_wait_in_line_and_a_waiting_one_can_leave(bench: Any) -> None:
    order: list[int] = []

    async def draw(number: int) -> None:
        await bench.draw(seed=number, width=128, height=128)
        order.append(number)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(draw(number)) for number in range(4)]
        await asyncio.sleep(0)
        tasks[2].cancel()
    assert order == [0, 1, 3]


async def test_a_reference_image_changes_the_picture_of_a_pipeline_that_takes_one(bench: Any) -> None:
    plain = await bench.draw(width=128, height=128)
    assert (await bench.draw(width=128, height=128, references=(reference(),))).images != plain.images
    with pytest.raises(ModelUnavailable, match="FluxPipeline takes no reference images; configure another model"):
        await bench.draw("flux", references=(reference(),))
    for broken in (b"GIF89a no picture", reference(32)):
        with pytest.raises(InputUnavailable, match="reference image 1"):
            await bench.draw(references=(broken,))


async def test_a_size_that_the_model_would_round_is_refused_by_name(bench: Any) -> None:
    with pytest.raises(InvalidParams, match="width must be a multiple of 16 for Flux2KleinPipeline, not 65"):
        await bench.draw(width=65)


async def test_a_kind_without_a_pipeline_is_refused(bench: Any) -> None:
    with pytest.raises(ModelUnavailable, match="no pipeline is configured for tryon"):
        await bench.draw("tryon")


async def test_the_status_tells_what_is_loaded_and_what_it_takes(bench: Any) -> None:
    status = bench.generator.status()
    assert status.ready
    assert "klein: Flux2KleinPipeline (embedded) on cpu" in status.reason
    assert status.details["memory"]["rss_mib"] > 100
    assert status.details["pipelines"]["flux"]["load_s"] >= 0


async def test_no_word_of_a_prompt_reaches_the_log(bench: Any) -> None:
    # Longer than CLIP's 77 tokens: the library would quote what it cuts off.
    prompt = "Xanthippe Quokkaberg portrait " + "zephyrine marmalade " * 40
    with capture_logs() as logs:
        await bench.draw("flux", prompt=prompt, negative_prompt="Brobdingnag", steps=1)
        with pytest.raises(InvalidParams):
            await bench.draw("flux", prompt=prompt, width=65)
    assert {line["event"] for line in logs} >= {"generation_done", "generation_failed"}
    text = str(logs).casefold()
    assert not [word for word in ("xanthippe", "quokkaberg", "zephyrine", "brobdingnag") if word in text]


async def test_signals_meant_for_the_daemon_do_not_end_the_child(bench: Any) -> None:
    pid = bench.pid
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
    assert await bench.draw()
    assert bench.pid == pid


async def test_the_child_lives_through_fifty_runs_without_enough_memory(bench: Any) -> None:
    before = await bench.draw()
    pid = bench.pid
    unlimited = resource.prlimit(pid, resource.RLIMIT_AS)
    process = psutil.Process(pid)
    resource.prlimit(pid, resource.RLIMIT_AS, (process.memory_info().vms + 8 * MIB, unlimited[1]))
    try:
        for seed in range(50):
            with pytest.raises(OutOfMemory) as lacking:
                await bench.draw(seed=seed, width=65536, height=65536, steps=1)
            if seed == 4:
                early = process.memory_info().rss
        late = process.memory_info().rss
    finally:
        resource.prlimit(pid, resource.RLIMIT_AS, unlimited)
    assert lacking.value.details["width"] == 65536
    assert late < early * 1.01, "what a failed run held is given back"
    assert (await bench.draw()).images == before.images
    assert bench.pid == pid


async def test_one_session_uploads_and_fetches_while_another_generates(bench: Any) -> None:
    """Neither could end if one waited for the other: the upload is held until the other's picture is drawn."""
    attempts = EngineBench(generator=bench.generator)
    drawn, uploading = asyncio.Event(), asyncio.Event()
    plain = attempts.objects.put

    async def held(*arguments: Any) -> None:
        uploading.set()
        await drawn.wait()
        await plain(*arguments)

    async def act(session: Session, _params: PortraitParams, context: Context) -> None:
        if uploading.is_set():
            await context.generate(GenerationRequest("klein", session.id, "x", (2,), width=64, height=64))
            drawn.set()
            return
        made = await context.generate(GenerationRequest("klein", session.id, "x", (1,), width=64, height=64))
        await context.save(Artifact("image.png", made.images[0].rgb, "image/png"))

    attempts.objects.put = held
    first = asyncio.ensure_future(attempts.attempt(act))
    await uploading.wait()
    second = asyncio.ensure_future(attempts.attempt(act))
    ended = await asyncio.wait_for(asyncio.gather(first, second), 60)
    assert [row.status for row, _ in ended] == ["completed", "completed"]


async def test_the_device_does_not_wait_while_pixels_travel(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Child.post
    with capture_logs() as logs:

        def noted(child: Child, message: Message) -> None:
            logs.append({"event": type(message).__name__, "log_level": "sent"})
            plain(child, message)

        monkeypatch.setattr(Child, "post", noted)
        await asyncio.gather(*(bench.draw(seed=seed, width=128, height=128) for seed in (1, 2)))
    order = [line["event"] for line in logs if line["event"] in {"Generate", "generation_done"}]
    assert order == ["Generate", "Generate", "generation_done", "generation_done"]


async def test_the_daemon_never_imports_torch() -> None:
    script = "import sys, handlers.runtime.host, handlers.headshot.handler; sys.exit('torch' in sys.modules)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    assert await process.wait() == 0
