"""Makes one portrait of one prompt. Knows the contract; does not know models, queues or storage."""

from __future__ import annotations

import time
from typing import ClassVar

from handlers.headshot.params import HeadshotParams
from handlers.inputs.images import encode_png
from handlers.inputs.seeds import default_seed
from listener.contract import Artifact, Context, GeneratedImage, Generation, GenerationRequest, SavedArtifact, Session
from listener.errors import NothingProduced

ARTIFACT_NAME = "image.png"


class HeadshotHandler:
    """Serves the kind `headshot`."""

    kind: ClassVar[str] = "headshot"
    Params: type[HeadshotParams] = HeadshotParams

    async def run(self, session: Session, params: HeadshotParams, context: Context) -> None:
        """Generate, encode, save, and set the row's result."""
        started_s = time.monotonic()
        generation = await context.generate(_request(session, params))
        if not generation.images:
            raise NothingProduced(details={"model": generation.model})
        image = generation.images[0]
        png = await encode_png(image.rgb, image.width, image.height)
        saved = await context.save(Artifact(ARTIFACT_NAME, png, "image/png", image.width, image.height))
        context.finish(_result(generation, image, saved, time.monotonic() - started_s))


def _request(session: Session, params: HeadshotParams) -> GenerationRequest:
    return GenerationRequest(
        kind=HeadshotHandler.kind,
        session=session.id,
        prompt=params.prompt,
        negative_prompt=params.negative_prompt,
        seeds=(default_seed(session.id) if params.seed is None else params.seed,),
        width=params.width,
        height=params.height,
        steps=params.num_inference_steps,
        guidance_scale=params.guidance_scale,
    )


def _result(
    generation: Generation, image: GeneratedImage, saved: SavedArtifact, processing_time_s: float
) -> dict[str, object]:
    return {
        "image_url": saved.url,
        "image_path": saved.path,
        "expires_at": saved.expires_at.isoformat(),
        "model": generation.model,
        "pipeline": generation.pipeline_class,
        "device": generation.device,
        "seed": image.seed,
        "num_inference_steps": generation.steps,
        "guidance_scale": generation.guidance_scale,
        "notes": list(generation.notes),
        "processing_time_s": round(processing_time_s, 3),
    }
