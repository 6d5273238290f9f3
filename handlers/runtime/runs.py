"""A run: one call of `generate` on its way through the host, and its translation to and from messages.

Knows the contract and the protocol; does not know processes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from handlers.runtime.messages import Beat, Done, Failed, Generate, Load
from handlers.runtime.options import options_text
from listener.contract import (
    GeneratedClip,
    GeneratedImage,
    Generation,
    GenerationRequest,
    GeneratorConfig,
    PipelineConfig,
)
from listener.errors import (
    AttemptFailure,
    GenerationFailed,
    InputUnavailable,
    InvalidParams,
    ModelUnavailable,
    NothingProduced,
    OutOfMemory,
)

SIDE_STEP_PX = 16
"""Fits the pipelines that are shipped; one that needs another multiple refuses by name."""
SIDE_MIN_PX = 64

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
    abandoned: bool = False

    @property
    def prompts(self) -> tuple[str | None, ...]:
        return (self.request.prompt, *self.request.prompts, self.request.negative_prompt)

    def order(self, pipeline: PipelineConfig, joined: int = 0) -> Generate:
        """Write the order for the child; `joined` counts the runs that follow in the same batch."""
        request = self.request
        width, height = _fitted(request.width or pipeline.width, request.height or pipeline.height, pipeline)
        return Generate(
            run=self.number,
            kind=request.kind,
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            seeds=request.seeds,
            width=width,
            height=height,
            steps=request.steps,
            guidance_scale=request.guidance_scale,
            batch_max=pipeline.batch_max,
            joined=joined,
            prompts=request.prompts,
            blobs=request.references if request.audio is None else (*request.references, request.audio),
            speaks=request.audio is not None,
        )

    def generation(self, done: Done) -> Generation:
        """Read the child's answer. Raises: GenerationFailed when it does not fit the request."""
        facts = done.facts
        spoken = self.request.audio is not None
        return Generation(
            images=() if spoken else self._images(done),
            clip=self._clip(done) if spoken else None,
            model=str(facts["model"]),
            pipeline_class=str(facts["pipeline_class"]),
            device=str(facts["device"]),
            steps=int(facts["steps"]),
            guidance_scale=facts["guidance_scale"],
            duration_s=float(facts["duration_s"]),
            notes=tuple(facts["notes"]),
        )

    def _images(self, done: Done) -> tuple[GeneratedImage, ...]:
        width, height = int(done.facts["width"]), int(done.facts["height"])
        if len(done.blobs) != len(self.request.seeds) or any(len(rgb) != width * height * 3 for rgb in done.blobs):
            raise GenerationFailed("the runtime answered with images of another number or size")
        pairs = zip(done.blobs, self.request.seeds, strict=True)
        return tuple(GeneratedImage(rgb, width, height, seed) for rgb, seed in pairs)

    def _clip(self, done: Done) -> GeneratedClip:
        facts = done.facts
        if len(done.blobs) != 1:
            raise GenerationFailed("the runtime answered with no clip")
        return GeneratedClip(
            mp4=done.blobs[0],
            width=int(facts["width"]),
            height=int(facts["height"]),
            duration_s=float(facts["clip_s"]),
            fps=float(facts["fps"]),
            seed=self.request.seeds[0],
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
        warm_up=_warm_up(pipeline),
        budget_mib=config.memory_budget_mib,
        options=options_text(pipeline.kind, pipeline.options),
    )


def may_join(first: Run, other: Run, is_suspect: Callable[[UUID], bool]) -> bool:
    """Tell whether two runs may share a batch: all is alike but the prompts and the seeds.

    A pipeline hands reference images to the whole batch, so that a request with one is never joined, nor a clip; nor is
    a session that ended a child before.
    """
    one, two = first.request, other.request
    shape = [(ask.kind, ask.width, ask.height, ask.steps, ask.guidance_scale) for ask in (one, two)]
    plain = not any(ask.references or ask.negative_prompt or ask.audio for ask in (one, two))
    return plain and shape[0] == shape[1] and not (is_suspect(one.session) or is_suspect(two.session))


def _fitted(width: int, height: int, pipeline: PipelineConfig) -> tuple[int, int]:
    """Draw what is larger than the pipeline may in its own shape. Units: pixels."""
    longer = max(width, height)
    if pipeline.side_max_px is None or longer <= pipeline.side_max_px:
        return width, height
    scale = pipeline.side_max_px / longer
    first, second = (max(SIDE_MIN_PX, round(side * scale / SIDE_STEP_PX) * SIDE_STEP_PX) for side in (width, height))
    return first, second


def _warm_up(pipeline: PipelineConfig) -> tuple[str, ...]:
    if pipeline.warm_up is not None:
        return pipeline.warm_up
    # A processor gains nothing from it, and a large picture takes it minutes.
    return () if pipeline.device == "cpu" else (f"{pipeline.width}x{pipeline.height}",)


def failure(failed: Failed) -> AttemptFailure:
    """Turn the child's code into the error of that name."""
    details: dict[str, Any] = dict(failed.details)
    return FAILURES.get(failed.code, GenerationFailed)(failed.message, details=details)
