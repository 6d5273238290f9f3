"""What a pack gains by being drawn at once: eight images beside a reference, in one batch and one by one."""

from __future__ import annotations

import io
import statistics
import time
from dataclasses import replace
from uuid import uuid4

from PIL import Image

from bench.gpu.disturbed import started
from handlers.runtime.host import LocalGenerator
from listener.contract import GenerationRequest, GeneratorConfig

IMAGES = 8
SIDE_PX = 256
ROUNDS = 5


async def pack_s(config: GeneratorConfig) -> tuple[float, float]:
    """Medians of the batch and of the single runs, taken in turns. Units: seconds for the whole pack."""
    generator = await started(config)
    pack = a_pack()
    batched, single = [], []
    try:
        for _ in range(ROUNDS):
            batched.append(await _timed(generator, [pack]))
            single.append(await _timed(generator, singles(pack)))
    finally:
        await generator.close()
    return statistics.median(batched), statistics.median(single)


def a_pack() -> GenerationRequest:
    """Eight poses of one character with one seed, as the pack's handler asks for them."""
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((SIDE_PX, SIDE_PX)).convert("RGB").save(buffer, "PNG")
    poses = tuple(f"a portrait, pose {number}" for number in range(IMAGES))
    return GenerationRequest(
        "headshot",
        uuid4(),
        poses[0],
        (7,) * IMAGES,
        width=SIDE_PX,
        height=SIDE_PX,
        references=(buffer.getvalue(),),
        prompts=poses,
    )


def singles(pack: GenerationRequest) -> list[GenerationRequest]:
    """The same images, each asked for alone."""
    return [replace(pack, prompt=pose, prompts=(), seeds=pack.seeds[:1]) for pose in pack.prompts]


async def _timed(generator: LocalGenerator, requests: list[GenerationRequest]) -> float:
    began = time.perf_counter()
    drawn = 0
    for request in requests:
        drawn += len((await generator.generate(request, lambda _done, _total: None)).images)
    if drawn != IMAGES:
        raise RuntimeError(f"{drawn} images in place of {IMAGES}")
    return time.perf_counter() - began
