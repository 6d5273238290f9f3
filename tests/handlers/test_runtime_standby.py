"""What a spare child is good for: a restart costs a load. Real processes, really killed."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from structlog.testing import capture_logs

from handlers.runtime import standby
from handlers.runtime.environment import child_environment
from handlers.runtime.process import Child
from handlers.runtime.readiness import Readiness
from handlers.runtime.room import available_mib
from handlers.runtime.standby import Standby
from listener.contract import GeneratorConfig, PipelineConfig
from listener.errors import RuntimeDied

# A child imports torch for seconds, and on a busy machine for half a minute.
pytestmark = pytest.mark.timeout(300)
KLEIN = (PipelineConfig("klein", "embedded", device="cpu"),)
BESIDE_THE_LOAD_S = 2.0


def spare_of(bench: Any) -> dict[str, Any]:
    return bench.generator.status().details["standby"] or {}


async def until_spare(bench: Any) -> psutil.Process:
    await bench.until(lambda: spare_of(bench).get("imported"), within_s=250)
    return psutil.Process(spare_of(bench)["pid"])


async def test_a_killed_child_is_replaced_by_the_spare_within_its_load_and_two_seconds(start: Any) -> None:
    bench = await start(pipelines=KLEIN, standby=True)
    await bench.ready()
    before = await bench.draw()
    spare = await until_spare(bench)
    assert spare.pid != bench.pid
    assert not [file for file in Path(f"/proc/{spare.pid}/fd").iterdir() if "nvidia" in opened(file)]
    drawing = asyncio.ensure_future(bench.draw(steps=100, width=384, height=384))
    bench.steps.clear()
    await bench.until(lambda: bench.steps)
    with capture_logs() as logs:
        killed_at = time.monotonic()
        os.kill(bench.pid, signal.SIGKILL)
        with pytest.raises(RuntimeDied):
            await drawing
        after = await bench.draw()
        took_s = time.monotonic() - killed_at - after.duration_s
    assert after.images == before.images
    assert bench.pid == spare.pid, "the spare was promoted, nothing was started in its place"
    [started] = [line for line in logs if line["event"] == "runtime_started"]
    assert started["from_standby"]
    load_s = bench.generator.status().details["load_s"]["klein"]
    print(f"from death to the next generation {took_s:.2f} s, of which loading took {load_s:.2f} s")
    assert took_s <= load_s + BESIDE_THE_LOAD_S
    assert bench.generator.status().details["restarts_by"] == {"killed": 1}
    await bench.until(lambda: spare_of(bench))
    another = spare_of(bench)["pid"]
    assert another != spare.pid, "there is another one for the next time"
    await bench.generator.close()
    assert not [pid for pid in (spare.pid, another) if psutil.pid_exists(pid)]


async def test_a_spare_that_dies_is_never_promoted_and_one_is_kept_only_where_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, started = GeneratorConfig(KLEIN, "/nowhere", standby=True), []

    async def spawn(classes: Sequence[str]) -> Child:
        started.append(await Child.spawn(child_environment(config), list, group, classes))
        return started[-1]

    kept = Standby(spawn)
    async with asyncio.TaskGroup() as group:
        keeping = group.create_task(kept.keep())
        with capture_logs() as logs:
            monkeypatch.setattr(standby, "ROOM_MIB", available_mib() * 100)
            kept.want(["Flux2KleinPipeline"])
            await until(lambda: any(line["event"] == "standby_missing" for line in logs))
            monkeypatch.setattr(standby, "ROOM_MIB", 0)
            assert (await kept.take(), started) == (None, [])
            kept.want(["Flux2KleinPipeline"])
            await until(kept.facts)
            started[0].kill()
            await until(lambda: not started[0].is_alive)
            assert await kept.take() is None
        assert [line["exit"] for line in logs if line["event"] == "standby_lost"] == ["killed by SIGKILL (9)"]
        keeping.cancel()


@pytest.mark.parametrize(
    ("device", "wish", "kept"),
    [("cpu", None, False), ("cuda:0", None, True), ("cpu", True, True), ("cuda", False, False)],
)
def test_a_spare_is_for_gpus_unless_a_setting_says_otherwise(device: str, wish: bool | None, kept: bool) -> None:
    noted = Readiness.of(GeneratorConfig(KLEIN, "/nowhere"))
    assert noted.standby_classes(wish) is None, "not before the first one is ready"
    noted.loaded("klein", {"device": device, "pipeline_class": "Flux2KleinPipeline"})
    assert noted.standby_classes(wish) == (["Flux2KleinPipeline"] if kept else None)


async def until(seen: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not seen():
            await asyncio.sleep(0.01)


def opened(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:
        return ""
