"""A full queue through the real engine, handler, runtime and child; only the network and the device are stubs."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any, cast

from bench.gpu.network import FarObjects, FarStore
from bench.gpu.subject import Subject
from handlers.headshot.handler import HeadshotHandler
from handlers.runtime.environment import child_environment
from handlers.runtime.host import LocalGenerator
from listener.contract import Generation, GenerationRequest, GeneratorStatus, OnStep
from listener.engine.admission import Admission
from listener.engine.attempt import AttemptRunner
from listener.engine.claim import ClaimLoop
from listener.engine.clock import SystemClock
from listener.engine.context import Outside
from listener.engine.pool import AttemptPool
from listener.engine.settle import Settler
from listener.engine.slots import Slots
from listener.engine.wakeup import WakeUp
from listener.telemetry import log


@dataclass
class Watched:
    """The generator, with a note of when it began, when it ended, and how long the child itself drew."""

    inner: LocalGenerator
    drawn_s: list[float] = field(default_factory=list)
    began_s: float | None = None
    ended_s: float = 0.0

    async def start(self) -> None:
        """Begin to load."""
        await self.inner.start()

    async def close(self) -> None:
        """Stop."""
        await self.inner.close()

    def status(self) -> GeneratorStatus:
        """Tell whether it can work."""
        return self.inner.status()

    async def generate(self, request: GenerationRequest, on_step: OnStep) -> Generation:
        """Generate and note."""
        loop = asyncio.get_running_loop()

        def heard(done: int, total: int) -> None:
            if total and self.began_s is None:
                self.began_s = loop.time()
            on_step(done, total)

        made = await self.inner.generate(request, heard)
        self.drawn_s.append(made.duration_s)
        self.ended_s = loop.time()
        return made


async def full_queue(subject: Subject, count: int, slots: int) -> dict[str, Any]:
    """Work off a queue. Units: seconds and milliseconds, as the names say."""
    generator = Watched(LocalGenerator(subject.config))
    await generator.start()
    try:
        while not generator.status().ready:
            await asyncio.sleep(0.05)
        params = {"prompt": "a portrait", "width": subject.side_px, "height": subject.side_px}
        store = FarStore(count, {**params, "num_inference_steps": subject.steps})
        await _work_off(store, generator, slots)
    finally:
        await generator.close()
    if store.failures or generator.began_s is None:
        raise RuntimeError(f"sessions failed: {store.failures[:1]}")
    wall_s, drawn_s = generator.ended_s - generator.began_s, sum(generator.drawn_s)
    return {
        "images": count,
        "wall_s": round(wall_s, 2),
        "image_s": wall_s / count,
        "busy_share": drawn_s / wall_s,
        "overhead_ms": 1000 * (wall_s - drawn_s) / count,
    }


async def _work_off(store: FarStore, generator: Watched, count: int) -> None:
    clock, wakeup = SystemClock(), WakeUp()
    slots = Slots(count, wakeup.set)
    quiet = log.get("bench")
    outside = Outside(cast(Any, store), FarObjects(), cast(Any, None), generator, clock, 3600)
    runner = AttemptRunner({"headshot": HeadshotHandler()}, outside, Settler(cast(Any, store), 30.0))
    admission = Admission({}, clock, quiet)
    async with asyncio.TaskGroup() as group:
        pool = AttemptPool(group, runner, slots, admission)
        claim = ClaimLoop(
            store=cast(Any, store),
            kinds=("headshot",),
            slots=slots,
            wakeup=wakeup,
            admission=admission,
            start=pool.start,
            log=quiet,
        )
        claiming = group.create_task(claim.run())
        await store.done.wait()
        claim.stop()
        await claiming


def bare_loop_s(subject: Subject, count: int) -> float:
    """Seconds an image in the bare loop, in a process of its own."""
    pipeline = subject.pipeline
    asked = {
        "model": pipeline.model,
        "pipeline_class": pipeline.pipeline_class,
        "dtype": pipeline.dtype,
        "device": pipeline.device,
        "cache_dir": subject.config.cache_dir,
        "count": count,
        "side": subject.side_px,
        "steps": subject.steps,
    }
    command = [sys.executable, "-m", "bench.gpu.bare", json.dumps(asked)]
    # The same threads as the runtime's child has: others draw faster or slower for reasons of their own.
    environment = child_environment(subject.config)
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return float(json.loads(done.stdout.splitlines()[-1])["image_s"])
