"""Checks clips that engines made: what they say of themselves is not enough. Knows what a page can play.

Does not know which engine made a clip or where it goes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from handlers.inputs.images import encode_thumbnail
from handlers.media.faststart import started_at_once
from handlers.media.process import NotDecodedError, decode
from listener.errors import GenerationFailed, NothingProduced

SIZE_MAX_BYTES = 500 * 2**20
LONGEST_S = 320.0
TOLERANCE_S = 1.0
TOLERANCE_SHARE = 0.02
"""Engines make whole groups of frames; what a clip lacks or has too much may be so much of its sound."""
POSTER_SIDE_PX = 640
STREAMS = ["audio", "video"]
CODECS = ("h264", "aac")
PIXELS = ("yuv420p", "yuvj420p")
SIDE_MIN_PX, SIDE_MAX_PX = 16, 4096


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip that plays: H.264 and AAC, its index in front, its first picture as a WebP. Units: seconds, pixels."""

    mp4: bytes = field(repr=False)
    poster: bytes = field(repr=False)
    width: int
    height: int
    duration_s: float
    fps: float
    frames: int


class _Told(BaseModel):
    """What the decoder answers; checked, for one that was broken into may answer anything."""

    model_config = ConfigDict(extra="forbid", strict=True)

    streams: list[str] = Field(max_length=16)
    codecs: tuple[str, str] = Field(default=("", ""), strict=False)
    pixels: str | None = None
    width: int = 0
    height: int = 0
    frames: int = Field(default=0, ge=0)
    announced_frames: int = Field(default=0, ge=0)
    fps: float = Field(default=0.0, allow_inf_nan=False)
    duration_s: float = Field(default=0.0, allow_inf_nan=False)
    sound_s: float = Field(default=0.0, allow_inf_nan=False)
    poster: tuple[int, int] = Field(default=(0, 0), strict=False)


async def check_clip(mp4: bytes, audio_s: float) -> Clip:
    """Read a whole clip that is to be as long as its sound, and put its index in front.

    Raises: NothingProduced for an empty one; GenerationFailed for one that does not play, with the reason in words.
    """
    if not mp4:
        raise NothingProduced("the engine made an empty clip")
    if len(mp4) > SIZE_MAX_BYTES:
        raise GenerationFailed(f"the clip is larger than {SIZE_MAX_BYTES // 2**20} MiB")
    told, rgb = await _told(mp4)
    problem = _problem(told, audio_s)
    if not problem and len(rgb) != 3 * told.poster[0] * told.poster[1]:
        problem = "the clip's first picture is broken"
    if problem:
        raise GenerationFailed(problem, details={"problem": problem})
    try:
        mp4 = await asyncio.to_thread(started_at_once, mp4)
    except (ValueError, KeyError) as error:
        raise GenerationFailed(f"the clip's index cannot be moved: {error}") from None
    poster = await encode_thumbnail(rgb, *told.poster, POSTER_SIDE_PX)
    return Clip(mp4, poster, told.width, told.height, told.duration_s, told.fps, told.frames)


async def _told(mp4: bytes) -> tuple[_Told, bytes]:
    try:
        facts, rgb = await decode("mp4", mp4, LONGEST_S, 3 * POSTER_SIDE_PX**2)
        return _Told.model_validate(facts), rgb
    except NotDecodedError as error:
        raise GenerationFailed(f"the clip cannot be decoded ({error.why})") from None
    except ValidationError:
        raise GenerationFailed("the clip cannot be decoded (strange)") from None


def _problem(told: _Told, audio_s: float) -> str:
    """What keeps it from being a clip of that sound, in words; empty when nothing does."""
    tolerance_s = TOLERANCE_S + TOLERANCE_SHARE * audio_s
    checks = (
        (told.streams == STREAMS, f"the clip has the streams {', '.join(told.streams) or 'none'}, not one of each"),
        (told.codecs == CODECS, f"the clip is coded as {' and '.join(told.codecs)}, not H.264 and AAC"),
        (told.pixels in PIXELS, f"the clip's pixels are {told.pixels}, which browsers do not play"),
        (told.frames > 0 and told.poster != (0, 0) and told.fps > 0, "the clip has no picture"),
        (told.announced_frames in (0, told.frames), f"the clip has {told.frames} of {told.announced_frames} frames"),
        (_is_side(told.width) and _is_side(told.height), f"the clip has {told.width} x {told.height} pixels"),
        (told.sound_s > 0, "the clip has no sound"),
        (
            max(abs(told.duration_s - audio_s), abs(told.sound_s - audio_s)) <= tolerance_s,
            f"the clip shows {told.duration_s:.1f} s and sounds {told.sound_s:.1f} s, the voice has {audio_s:.1f} s",
        ),
    )
    return next((words for is_good, words in checks if not is_good), "")


def _is_side(pixels: int) -> bool:
    return SIDE_MIN_PX <= pixels <= SIDE_MAX_PX and pixels % 2 == 0
