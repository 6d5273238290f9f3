"""Makes a portrait say what a voice says. Knows the contract; does not know models, queues or storage."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from handlers.avatar.inputs import inspect, read_portrait, together
from handlers.avatar.params import AvatarParams
from handlers.avatar.size import size_of
from handlers.inputs.pictures import Picture
from handlers.inputs.seeds import default_seed
from handlers.media.clips import Clip, check_clip
from handlers.media.sound import Audio, read_audio
from listener.contract import (
    Artifact,
    Context,
    Generation,
    GenerationRequest,
    HandlerConfig,
    RetryPolicy,
    SavedArtifact,
    Session,
)
from listener.errors import ConfigError, NothingProduced

ARTIFACT_NAME = "video.mp4"
HAS_ENGINE = "has_engine"
NO_MEDIA = "avatars need PyAV: pip install 'listener[media]'"
NO_ENGINE = "no engine of clips is configured: LISTENER_AVATAR_MODEL or LISTENER_AVATAR_GENERATORS"
PROMPT = "A person is talking and looks into the camera."


class NoClipError(NothingProduced):
    """The generator produced no clip."""

    public_message = "No clip was produced. Please try again."


class AvatarHandler:
    """Serves the kind `avatar`, for users and stores alike."""

    kind: ClassVar[str] = "avatar"
    Params: type[AvatarParams] = AvatarParams
    retry_policy: ClassVar[RetryPolicy] = RetryPolicy.STRICT

    @classmethod
    def lacks(cls, config: HandlerConfig) -> str:
        """Why this worker makes no clips; empty where it does."""
        if importlib.util.find_spec("av") is None:
            return NO_MEDIA
        return "" if config.options.get(HAS_ENGINE, True) else NO_ENGINE

    @classmethod
    def configured(cls, _config: HandlerConfig) -> AvatarHandler:
        """Make it. Raises: ConfigError where nothing can decode sound."""
        if importlib.util.find_spec("av") is None:
            raise ConfigError(NO_MEDIA)
        return cls()

    async def run(self, session: Session, params: AvatarParams, context: Context) -> None:
        """Read both files, generate, check the clip, save it with its first picture, and set the row's result."""
        started_s = time.monotonic()
        prompt = params.prompt or PROMPT
        await context.judge({"prompt": prompt})  # before anything is fetched
        await context.progress(0, 1, "reading your picture and your sound")
        picture, audio = await together(_picture(params, context), _audio(params, context))
        generation = await context.generate(_request(session, params, prompt, picture, audio))
        if generation.clip is None:
            raise NoClipError(details={"model": generation.model})
        clip = await check_clip(generation.clip.mp4, audio.duration_s)
        await context.progress(1, 1, "saving the clip")
        saved = await context.save(_artifact(clip))
        result = _result(generation, clip, saved)
        took = {"audio_s": round(audio.duration_s, 3), "processing_time_s": round(time.monotonic() - started_s, 3)}
        context.finish({**result, **took, "warnings": list(audio.warnings)})

    async def inspect(self, files: Mapping[str, Path]) -> tuple[str, ...]:
        """Decode the files `image` and `audio` before anything is paid for; tells what to be warned of.

        Raises: InvalidParams.
        """
        return await inspect(files)


async def _picture(params: AvatarParams, context: Context) -> Picture:
    fetched = await context.fetch(params.image_url, "image_url")
    return await read_portrait(fetched.data, "image_url")


async def _audio(params: AvatarParams, context: Context) -> Audio:
    fetched = await context.fetch(params.audio_url, "audio_url", "audio")
    return await read_audio(fetched.data, "audio_url")


def _request(session: Session, params: AvatarParams, prompt: str, picture: Picture, audio: Audio) -> GenerationRequest:
    width, height = size_of(picture.width, picture.height, params.resolution)
    return GenerationRequest(
        kind=AvatarHandler.kind,
        session=session.id,
        prompt=prompt,
        seeds=(default_seed(session.id) if params.seed is None else params.seed,),
        width=width,
        height=height,
        references=(picture.png,),
        audio=audio.wav,
    )


def _artifact(clip: Clip) -> Artifact:
    facts = {"duration_s": round(clip.duration_s, 3), "fps": round(clip.fps, 3)}
    return Artifact(ARTIFACT_NAME, clip.mp4, "video/mp4", clip.width, clip.height, clip.poster, facts)


def _result(generation: Generation, clip: Clip, saved: SavedArtifact) -> dict[str, Any]:
    """Where the clip is, and how it was really made."""
    return {
        "video_url": saved.url,
        "video_path": saved.path,
        "thumbnail_path": saved.thumbnail_path,
        "expires_at": saved.expires_at.isoformat(),
        "size_bytes": saved.size_bytes,
        "duration_s": round(clip.duration_s, 3),
        "width": clip.width,
        "height": clip.height,
        "fps": round(clip.fps, 3),
        "model": generation.model,
        "pipeline": generation.pipeline_class,
        "device": generation.device,
        "seed": generation.clip.seed if generation.clip is not None else None,
        "num_inference_steps": generation.steps,
        "guidance_scale": generation.guidance_scale,
        "notes": list(generation.notes),
        "cost_usd": generation.cost_usd,
    }
