"""Dresses one person in the garments of other pictures. Knows the contract; does not know models, queues or storage."""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar

from handlers.inputs.images import encode_jpeg
from handlers.inputs.pictures import Picture, read_picture
from handlers.inputs.seeds import default_seed
from handlers.results import result_of
from handlers.tryon.params import TryonParams
from handlers.tryon.prompt import compose_prompt
from handlers.tryon.size import size_of
from listener.contract import (
    Artifact,
    Context,
    GeneratedImage,
    Generation,
    GenerationRequest,
    RetryPolicy,
    SavedArtifact,
    Session,
)
from listener.errors import InvalidParams, NothingProduced

ARTIFACT_NAME = "image.jpg"
REFERENCE_SIDE_MAX_PX = 1024


class TryonHandler:
    """Serves the kind `tryon`, for users and stores alike."""

    kind: ClassVar[str] = "tryon"
    Params: type[TryonParams] = TryonParams
    retry_policy: ClassVar[RetryPolicy] = RetryPolicy.STRICT

    async def run(self, session: Session, params: TryonParams, context: Context) -> None:
        """Read the pictures, generate, save, and set the row's result."""
        started_s = time.monotonic()
        require_owner(session, params)
        prompt = compose_prompt(params)
        await context.judge({"prompt": prompt})  # before anything is fetched
        await context.progress(0, 1, "reading your pictures")
        pictures = await read_pictures(params.image_urls, context)
        generation = await context.generate(_request(session, params, prompt, pictures))
        if not generation.images:
            raise NothingProduced(details={"model": generation.model})
        image = generation.images[0]
        await context.progress(1, 1, "saving the picture")
        jpeg = await encode_jpeg(image.rgb, image.width, image.height)
        saved = await context.save(Artifact(ARTIFACT_NAME, jpeg, "image/jpeg", image.width, image.height))
        took_s = time.monotonic() - started_s
        context.finish({**_result(generation, image, saved, took_s), **_echo(params)})


def require_owner(session: Session, params: TryonParams) -> None:
    """Insist that the payload speaks of the session that was paid for. Raises: InvalidParams."""
    payer = "store_id" if params.channel == "b2b" else "user_id"
    expected = {payer: session.owner, "session_id": session.row_id}
    for field, value in expected.items():
        given = getattr(params, field)
        if given is not None and given != value:
            what = "the row's id" if field == "session_id" else "the owner who pays for the row"
            problem = {"field": field, "rule": "consistent", "message": f"is not {what}", "remedy": f"give {what}"}
            raise InvalidParams(f"{field} is not {what}", details={**problem, "fields": [problem]})


async def read_pictures(sources: tuple[str, ...], context: Context) -> list[Picture]:
    """Fetch and decode all pictures at the same time. Raises: what the first one to fail raises."""
    try:
        async with asyncio.TaskGroup() as group:
            reading = [group.create_task(_read(number, source, context)) for number, source in enumerate(sources)]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in reading]


async def _read(number: int, source: str, context: Context) -> Picture:
    field = f"image_urls.{number}"
    fetched = await context.fetch(source, field)
    return await read_picture(fetched.data, REFERENCE_SIDE_MAX_PX, field)


def _request(session: Session, params: TryonParams, prompt: str, pictures: list[Picture]) -> GenerationRequest:
    width, height = size_of(pictures[0].width, pictures[0].height)
    overrides = params.overrides
    return GenerationRequest(
        kind=overrides.pipeline or TryonHandler.kind,
        session=session.id,
        prompt=prompt,
        seeds=(default_seed(session.id),),
        width=width,
        height=height,
        steps=overrides.steps,
        guidance_scale=overrides.guidance_scale,
        references=tuple(picture.png for picture in pictures),
        generator=overrides.generator,
    )


def _result(
    generation: Generation, image: GeneratedImage, saved: SavedArtifact, processing_time_s: float
) -> dict[str, object]:
    facts = {"width": image.width, "height": image.height, "cost_usd": generation.cost_usd}
    return result_of(generation, image, saved, processing_time_s) | facts


def _echo(params: TryonParams) -> dict[str, object]:
    """What the producer of the payload recognises the session by, and the variant it was drawn for."""
    variant = params.variant.name if params.variant is not None else None
    return {"channel": params.channel, "task_id": params.task_id, "variant": variant}
