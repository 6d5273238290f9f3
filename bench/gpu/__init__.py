"""How much of a device's time goes into pictures: `python -m bench gpu`. On a GPU where there is one.

Without one, the device is a pipeline that waits; host, child, protocol, engine, handler and encoder are the real ones.
"""

from __future__ import annotations

import asyncio
import os
import platform
import statistics
import tempfile
from datetime import date
from pathlib import Path

from bench.gpu.disturbed import cancel_ms, death_s, growth_percent, spare_mib
from bench.gpu.full_queue import bare_loop_s, full_queue
from bench.gpu.packs import IMAGES, SIDE_PX, pack_s
from bench.gpu.subject import gpu_subject, has_gpu, standin_subject, tiny_config
from listener.telemetry import log

SLOTS = 5


def measure_gpu(count: int, runs: int) -> None:
    """Print the table: a full queue of `count` images, and `runs` tiny runs for the memory."""
    log.configure("CRITICAL")
    on_gpu = has_gpu()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        print(f"{date.today()}, {platform.machine()}, {os.cpu_count()} processors, GPU: {'yes' if on_gpu else 'none'}")
        print("| figure | target | measured |\n|---|---|---|")
        asyncio.run(_disturbed(place, "cuda" if on_gpu else "cpu", runs))
        _full(place, on_gpu=on_gpu, count=count)


def _row(figure: str, target: str, measured: str) -> None:
    print(f"| {figure} | {target} | {measured} |", flush=True)


async def _disturbed(place: Path, device: str, runs: int) -> None:
    with_spare = tiny_config(place, device, standby=True)
    resident, own = await spare_mib(with_spare)
    _row("memory of the spare process", "-", f"{resident:.0f} MiB resident, {own:.0f} MiB its own")
    for words, config, rounds in (
        ("with a spare", with_spare, 2),  # the third in ten minutes would be a sick device
        ("without", tiny_config(place, device, standby=False), 1),
    ):
        found = await death_s(config, rounds)
        worst = max(took_s - load_s for took_s, load_s in found)
        told = ", ".join(f"{took_s:.2f} s ({load_s:.2f} s of it loading)" for took_s, load_s in found)
        _row(f"child's death to the next generation, {words}", "load + 2 s", f"{told}; at worst load + {worst:.2f} s")
    batch_s, single_s = await pack_s(tiny_config(place, device, standby=False))
    told = f"{single_s / batch_s:.2f} times as fast ({batch_s:.2f} and {single_s:.2f} s)"
    _row(f"a pack of {IMAGES} at {SIDE_PX} px in one batch, beside {IMAGES} single runs", "-", told)
    grown, size = await growth_percent(tiny_config(place, device, standby=False), runs)
    _row(f"growth of the child over {runs} tiny generations", "< 1 %", f"{grown:+.2f} % (of {size:.0f} MiB)")


def _full(place: Path, *, on_gpu: bool, count: int) -> None:
    subject = gpu_subject(place) if on_gpu else standin_subject(place)
    step_ms, waits = asyncio.run(cancel_ms(subject.config, subject.side_px, 8))
    beyond = [wait - step_ms for wait in waits]
    told = f"{statistics.median(waits):.0f} ms at a step of {step_ms:.0f} ms; at worst step + {max(beyond):.0f} ms"
    _row("cancel to the next run's beginning", "step + 50 ms", told)
    bare_s = bare_loop_s(subject, min(count, 30))
    made = asyncio.run(full_queue(subject, count, SLOTS))
    shape = (
        f"{subject.words}, {subject.side_px} x {subject.side_px}, {subject.steps} steps, {SLOTS} slots, {count} images"
    )
    _row(f"busy share ({shape})", ">= 98 %", f"{100 * made['busy_share']:.1f} %")
    ratio = bare_s / made["image_s"]
    _row(
        "throughput beside the bare loop", ">= 0.98", f"{ratio:.3f} ({made['image_s']:.4f} and {bare_s:.4f} s an image)"
    )
    _row("overhead of a generation", "<= 5 ms", f"{made['overhead_ms']:.1f} ms")
