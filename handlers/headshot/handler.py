"""Makes one portrait of one prompt. Knows the contract; does not know models, queues or storage."""

from __future__ import annotations

import time
from typing import ClassVar

from handlers.headshot.params import HeadshotParams
from handlers.inputs.images import encode_png
from handlers.inputs.seeds import default_seed
from handlers.results import result_of
from listener.contract import Artifact, Context, GenerationRequest, Session
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
        context.finish(result_of(generation, image, saved, time.monotonic() - started_s))


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
