"""A run: one call of `generate` on its way through the host, and its translation to and from messages.

Knows the contract and the protocol; does not know processes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from handlers.runtime.messages import Beat, Done, Failed, Generate, Load
from listener.contract import GeneratedImage, Generation, GenerationRequest, GeneratorConfig, PipelineConfig
from listener.errors import (
    AttemptFailure,
    GenerationFailed,
    InputUnavailable,
    InvalidParams,
    ModelUnavailable,
    NothingProduced,
    OutOfMemory,
)

FAILURES: dict[str, type[AttemptFailure]] = {
    failure.code: failure
    for failure in (GenerationFailed, InputUnavailable, InvalidParams, ModelUnavailable, NothingProduced, OutOfMemory)
}


@dataclass(eq=False, slots=True)
class Run:
    """One call of `generate` and what its caller is told."""

    number: int
    request: GenerationRequest
    events: asyncio.Queue[Beat | Done | AttemptFailure] = field(default_factory=asyncio.Queue)

    @property
    def prompts(self) -> tuple[str | None, ...]:
        return (self.request.prompt, self.request.negative_prompt)

    def order(self, pipeline: PipelineConfig) -> Generate:
        """Write the order for the child."""
        request = self.request
        return Generate(
            run=self.number,
            kind=request.kind,
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            seeds=request.seeds,
            width=request.width or pipeline.width,
            height=request.height or pipeline.height,
            steps=request.steps,
            guidance_scale=request.guidance_scale,
            blobs=request.references,
        )

    def generation(self, done: Done) -> Generation:
        """Read the child's answer. Raises: GenerationFailed when the images do not fit the request."""
        facts = done.facts
        width, height = int(facts["width"]), int(facts["height"])
        if len(done.blobs) != len(self.request.seeds) or any(len(rgb) != width * height * 3 for rgb in done.blobs):
            raise GenerationFailed("the runtime answered with images of another number or size")
        return Generation(
            images=tuple(
                GeneratedImage(rgb, width, height, seed)
                for rgb, seed in zip(done.blobs, self.request.seeds, strict=True)
            ),
            model=str(facts["model"]),
            pipeline_class=str(facts["pipeline_class"]),
            device=str(facts["device"]),
            steps=int(facts["steps"]),
            guidance_scale=facts["guidance_scale"],
            duration_s=float(facts["duration_s"]),
            notes=tuple(facts["notes"]),
        )


def load_order(number: int, pipeline: PipelineConfig, config: GeneratorConfig) -> Load:
    """Write the order to load the pipeline of a kind."""
    return Load(
        run=number,
        kind=pipeline.kind,
        model=pipeline.model,
        pipeline_class=pipeline.pipeline_class,
        dtype=pipeline.dtype,
        device=pipeline.device,
        steps=pipeline.steps,
        guidance_scale=pipeline.guidance_scale,
        cache_dir=config.cache_dir,
    )


def failure(failed: Failed) -> AttemptFailure:
    """Turn the child's code into the error of that name."""
    details: dict[str, Any] = dict(failed.details)
    return FAILURES.get(failed.code, GenerationFailed)(failed.message, details=details)
