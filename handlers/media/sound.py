"""Reads the sound of strangers: checked by what it is, decoded whole in a process of its own, handed on as a plain WAV.

Knows formats, limits and the words for what is wrong; does not know where a file comes from or what it is for.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass
from dataclasses import field as hidden
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from handlers.media.process import NotDecodedError, decode
from handlers.media.sound_headers import FORMATS, GIVE, Format, SoundHeader, UnusableSound, read_sound_header
from listener.errors import InputUnavailable

DATA_MAX_BYTES = 50 * 2**20
DURATION_MAX_S = 300.0
PADDING_S = 0.2
"""What an MP3 carries besides its sound: its encoder's delay, and silence to the end of a frame."""
SHORT_S = 1.0
SILENT_PEAK = 33
"""60 dB below the loudest."""
LACKING_S = 0.1
SAMPLE_BYTES = 2
RATE_MIN_HZ, RATE_MAX_HZ = 16_000, 48_000
AGAIN = "record it again, or export it again as WAV or MP3"
SHORT = "the sound is shorter than a second: the clip may look poor"
SILENT = "nothing is heard in the sound: the lips will hardly move"
TOO_LONG = UnusableSound("is longer than 5 minutes", "give at most 5 minutes", "AUDIO_TOO_LONG")
TOO_SLOW = UnusableSound("takes too long to decode", AGAIN)
EMPTY = UnusableSound("has no sound in it", "record it again")
CUT = UnusableSound("ends before its sound does: it is cut off", "upload the whole file again")
REFUSALS = {
    "too_long": TOO_LONG,
    "memory": UnusableSound("takes more memory than a sound of its size may", AGAIN),
    "codec": UnusableSound("holds sound of another kind than its name says", GIVE, "INVALID_AUDIO_FORMAT"),
    "rate": UnusableSound("has a sample rate that is not of sound", "give one of 8,000 to 48,000 Hz"),
    "channels": UnusableSound("has no channel, or more than 8", "give it with one or two channels"),
    "slow": TOO_SLOW,
}
BROKEN = UnusableSound("is broken", AGAIN)


@dataclass(frozen=True, slots=True)
class Audio:
    """A sound without a past: 16-bit PCM of one or two channels, at most 48 kHz, no titles. `samples`: of each."""

    wav: bytes = hidden(repr=False)
    format: Format
    rate_hz: int
    channels: int
    samples: int
    warnings: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        """How long it really is."""
        return self.samples / self.rate_hz


class _Told(BaseModel):
    """What the decoder answers; checked, for one that was broken into may answer anything."""

    model_config = ConfigDict(extra="forbid", strict=True)

    rate_hz: int = Field(ge=RATE_MIN_HZ, le=RATE_MAX_HZ)
    channels: int = Field(ge=1, le=2)
    samples: int = Field(ge=0)
    peak: int = Field(ge=0, le=2**15)


async def read_audio(data: bytes, field: str = "", size_max_bytes: int = DATA_MAX_BYTES) -> Audio:
    """Decode a WAV or an MP3 to its end. A sound keeps its quality up to 48 kHz stereo: it becomes the clip's own.

    Raises: InputUnavailable, which names `field`, what is wrong, and what to give instead.
    """
    try:
        if len(data) > size_max_bytes:
            raise UnusableSound(
                f"is larger than {size_max_bytes // 2**20} MiB", "give a smaller file", "AUDIO_TOO_LARGE"
            )
        if not data:
            raise EMPTY
        header = read_sound_header(data)
        told, samples = await _decoded(data[header.body_at :], header.format)
        _require_whole(header, told)
    except UnusableSound as error:
        raise InputUnavailable(str(error), details=_details(error, field)) from None
    wav = await asyncio.to_thread(_wav, told, samples)
    return Audio(wav, header.format, told.rate_hz, told.channels, told.samples, _warnings(told))


async def _decoded(data: bytes, name: Format) -> tuple[_Told, bytes]:
    """Have it decoded. Raises: UnusableSound."""
    longest_s = DURATION_MAX_S + PADDING_S
    most_bytes = int((longest_s + 1) * RATE_MAX_HZ) * 2 * SAMPLE_BYTES
    try:
        facts, samples = await decode(name, data, longest_s, most_bytes)
        told = _Told.model_validate(facts)
    except NotDecodedError as error:
        raise REFUSALS.get(error.why, BROKEN) from None
    except ValidationError:
        raise BROKEN from None
    if len(samples) != told.samples * told.channels * SAMPLE_BYTES:
        raise BROKEN
    return told, samples


def _require_whole(header: SoundHeader, told: _Told) -> None:
    """Insist on sound, and on all that the file announces of it. Raises: UnusableSound."""
    if told.samples == 0:
        raise EMPTY
    lacking_s = header.lacking_bytes / max(1, told.rate_hz * told.channels * SAMPLE_BYTES)
    if header.claims_s is not None:
        lacking_s = header.claims_s - told.samples / told.rate_hz
    if lacking_s > LACKING_S + PADDING_S:
        raise CUT


def _warnings(told: _Told) -> tuple[str, ...]:
    short = (SHORT,) if told.samples < SHORT_S * told.rate_hz else ()
    return short + ((SILENT,) if told.peak < SILENT_PEAK else ())


def _details(error: UnusableSound, field: str) -> dict[str, Any]:
    details: dict[str, Any] = {"field": field} if field else {}
    details |= {"reason": error.reason, "problem": error.problem, "remedy": error.remedy}
    if error.received is not None:
        details |= {"received_format": error.received, "supported_formats": list(FORMATS)}
    return details


def _wav(told: _Told, samples: bytes) -> bytes:
    """A canonical file of 44 bytes and the samples."""
    frame_bytes = told.channels * SAMPLE_BYTES
    rate = (told.rate_hz, told.rate_hz * frame_bytes, frame_bytes, 8 * SAMPLE_BYTES)
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        36 + len(samples),
        b"WAVE",
        b"fmt ",
        16,
        1,
        told.channels,
        *rate,
        b"data",
        len(samples),
    )
    return head + samples
