"""What a disturbance costs: a run that is cancelled, a child that is killed, a thousand runs on end."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from uuid import uuid4

import psutil

from handlers.runtime.host import LocalGenerator
from listener.contract import Generation, GenerationRequest, GeneratorConfig
from listener.errors import RuntimeDied

SPARE_WITHIN_S = 300.0


def a_request(side_px: int, steps: int) -> GenerationRequest:
    """One picture of a new session."""
    return GenerationRequest("headshot", uuid4(), "a portrait", (1,), width=side_px, height=side_px, steps=steps)


async def started(config: GeneratorConfig) -> LocalGenerator:
    """A generator that is ready."""
    generator = LocalGenerator(config)
    await generator.start()
    while not generator.status().ready:
        await asyncio.sleep(0.02)
    return generator


async def cancel_ms(config: GeneratorConfig, side_px: int, rounds: int) -> tuple[float, list[float]]:
    """How long from a cancel to the beginning of the run that waits; beside the length of one step."""
    generator = await started(config)
    step_ms, waits = 0.0, []
    try:
        for _ in range(rounds):
            marks: list[float] = []
            running = asyncio.ensure_future(
                generator.generate(a_request(side_px, 40), lambda _d, _t, marks=marks: marks.append(time.monotonic()))
            )
            while len(marks) < 6:
                await asyncio.sleep(0.001)
            step_ms = 1000 * (marks[-1] - marks[2]) / (len(marks) - 3)
            begun: list[float] = []
            following = asyncio.ensure_future(
                generator.generate(
                    a_request(side_px, 1),
                    lambda _d, total, begun=begun: begun.append(time.monotonic()) if total else None,
                )
            )
            await asyncio.sleep(0)
            cancelled_at = time.monotonic()
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await following
            waits.append(1000 * (begun[0] - cancelled_at))
    finally:
        await generator.close()
    return step_ms, waits


async def death_s(config: GeneratorConfig, rounds: int) -> list[tuple[float, float]]:
    """From a SIGKILL in the middle of a run to the next one's beginning, and how long loading took of it."""
    generator = await started(config)
    found = []
    try:
        for _ in range(rounds):
            if config.standby:
                await _until_spare(generator)
            found.append(await _die_once(generator))
    finally:
        await generator.close()
    return found


async def _die_once(generator: LocalGenerator) -> tuple[float, float]:
    begun = asyncio.Event()
    running = asyncio.ensure_future(
        generator.generate(a_request(384, 100), lambda done, _total: begun.set() if done else None)
    )
    await begun.wait()
    killed_at = time.monotonic()
    os.kill(generator.status().details["pid"], signal.SIGKILL)
    with suppress(RuntimeDied):
        await running
    made = await _patient(generator)
    took_s = time.monotonic() - killed_at - made.duration_s
    return took_s, float(generator.status().details["load_s"]["headshot"])


async def _patient(generator: LocalGenerator) -> Generation:
    return await generator.generate(a_request(64, 1), lambda _done, _total: None)


async def _until_spare(generator: LocalGenerator) -> None:
    async with asyncio.timeout(SPARE_WITHIN_S):
        while not (generator.status().details["standby"] or {}).get("imported"):
            await asyncio.sleep(0.05)


async def growth_percent(config: GeneratorConfig, runs: int) -> tuple[float, float]:
    """By how much the child's memory grew over so many tiny runs, and what it takes. Units: percent, MiB.

    The C library takes and returns the top of its heap, so that single sizes swing; what leaks raises the floor.
    """
    generator = await started(config)
    sizes: list[int] = []
    try:
        child = psutil.Process(generator.status().details["pid"])
        for _ in range(runs):
            await generator.generate(a_request(64, 1), lambda _done, _total: None)
            sizes.append(child.memory_info().rss)
    finally:
        await generator.close()
    part = runs // 5
    early, late = min(sizes[part : 2 * part]), min(sizes[-part:])
    return 100 * (late - early) / early, late / (1 << 20)


async def spare_mib(config: GeneratorConfig) -> tuple[float, float]:
    """What a spare takes: resident, and what it shares with nobody. Units: MiB."""
    generator = await started(config)
    try:
        await _until_spare(generator)
        memory = psutil.Process(generator.status().details["standby"]["pid"]).memory_full_info()
        return memory.rss / (1 << 20), memory.uss / (1 << 20)
    finally:
        await generator.close()
