"""A generator for workers that are to die: it draws noise in steps of a few milliseconds, in the daemon's own process.

It is installed as any other generator is, by an entry point (tests/faults/nursery.py). The first word of the prompt
says how it ends: `fails` never works, `busy` works at the second attempt, `slow` takes long. Knows the contract alone.
"""

from __future__ import annotations

import asyncio
import random
from uuid import UUID

from listener.contract import (
    GeneratedImage,
    Generation,
    GenerationRequest,
    Generator,
    GeneratorConfig,
    GeneratorStatus,
    OnStep,
)
from listener.errors import GenerationFailed, Transient

STEPS = 6
STEP_S = 0.02
SLOW_STEP_S = 1.0


class Sketch:
    """Draws."""

    def __init__(self) -> None:
        self._met: set[UUID] = set()

    async def start(self) -> None:
        """It has nothing to load."""

    async def generate(self, request: GenerationRequest, on_step: OnStep) -> Generation:
        """Draw one image a seed.

        Raises: GenerationFailed, Transient, as the prompt asks.
        """
        word = request.prompt.partition(" ")[0]
        for step in range(STEPS):
            await asyncio.sleep(SLOW_STEP_S if word == "slow" else STEP_S)
            on_step(step + 1, STEPS)
        if word == "fails":
            raise GenerationFailed
        if word == "busy" and request.session not in self._met:
            self._met.add(request.session)
            raise Transient(retry_after_s=0.1)
        width, height = request.width or 256, request.height or 256
        images = tuple(
            GeneratedImage(random.Random(seed).randbytes(3 * width * height), width, height, seed)
            for seed in request.seeds
        )
        return Generation(images, "sketch", "Sketch", "cpu", STEPS, None, STEPS * STEP_S)

    def status(self) -> GeneratorStatus:
        """Always ready."""
        return GeneratorStatus(True, "sketches")

    async def close(self) -> None:
        """Nothing to close."""


def sketch(_config: GeneratorConfig) -> Generator:
    """The entry point."""
    return Sketch()
