"""What a file of sound says of itself in its first bytes: its format, and how long it claims to be.

Knows the headers of WAV and MP3, and the names of what people give instead; decodes nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from listener.errors import Unusable

Format = Literal["wav", "mp3"]
FORMATS: tuple[Format, ...] = ("wav", "mp3")
GIVE = "give a WAV or an MP3"
CHUNKS_MAX = 100
TAGS_MAX = 4
PAIR = 2  # chunks begin at even places
TAG_BYTES = 10
SIZES_UNKNOWN = frozenset({0, 0xFFFFFFFF})
"""What programs write as a size while they still record."""
RATED = bytes(rate << 4 | low for rate in range(1, 15) for low in range(12))
FRAME = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][" + re.escape(RATED) + rb"].", re.DOTALL)
"""The first bytes of a frame of MPEG layer III, with a bit rate and a sample rate."""
AAC = re.compile(rb"\xff[\xf0\xf1\xf8\xf9]")
SAMPLES = {3: 1152, 2: 576, 0: 576}
"""Of one frame of an MP3, by its version."""
RATES = (44100, 48000, 32000)
SLOWER = {3: 1, 2: 2, 0: 4}
XING_WITHIN_BYTES = 200
HAS_FRAMES = 1

OTHERS = (
    (b"OggS", "Ogg"),
    (b"fLaC", "FLAC"),
    (b"FORM", "AIFF"),
    (b"RF64", "RF64"),
    (b"\x1aE\xdf\xa3", "WebM"),
    (b"#!AMR", "AMR"),
    (b"MThd", "MIDI"),
    (b"#EXTM3U", "playlist"),
    (b"ffconcat", "playlist"),
    (b"GIF8", "GIF"),
    (b"\x89PNG", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"%PDF", "PDF"),
    (b"PK\x03\x04", "ZIP"),
    (b"0&\xb2u", "WMA"),
)


class UnusableSound(Unusable):
    """A sound that cannot be used; `reason` is for programs, `received` the format that it is instead."""

    def __init__(self, problem: str, remedy: str, reason: str = "INVALID_AUDIO", received: str | None = None) -> None:
        super().__init__(problem, remedy)
        self.reason = reason
        self.received = received


@dataclass(frozen=True, slots=True)
class SoundHeader:
    """What was found. Units: body_at and lacking_bytes are bytes; claims_s is seconds, None where it says nothing."""

    format: Format
    body_at: int = 0
    lacking_bytes: int = 0
    claims_s: float | None = None


def read_sound_header(data: bytes) -> SoundHeader:
    """Tell the format. Raises: UnusableSound, which names the format that it is instead."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return SoundHeader("wav", lacking_bytes=_lacking_bytes(data))
    body_at = _behind_tags(data)
    if FRAME.match(data, body_at):
        return SoundHeader("mp3", body_at, claims_s=_claimed_s(data[body_at : body_at + XING_WITHIN_BYTES]))
    name = _other(data[body_at : body_at + 64])
    problem = f"is {name}, not a WAV or an MP3" if name else "is neither a WAV nor an MP3"
    raise UnusableSound(problem, GIVE, "INVALID_AUDIO_FORMAT", (name or "unknown").lower())


def _lacking_bytes(data: bytes) -> int:
    """How much of the sound that a WAV announces is not there. Raises: UnusableSound where it has no sound at all."""
    at = 12
    for _ in range(CHUNKS_MAX):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8
        if name == b"data":
            return 0 if size in SIZES_UNKNOWN else max(0, at + size - len(data))
        at += size + size % PAIR
        if at >= len(data):
            break
    raise UnusableSound("is a broken WAV: it has no sound in it", "record it again, or export it again")


def _behind_tags(data: bytes) -> int:
    """Where the sound of an MP3 begins: titles and covers are nobody's business here."""
    at = 0
    for _ in range(TAGS_MAX):
        if data[at : at + 3] != b"ID3":
            break
        a, b, c, d = data[at + 6 : at + TAG_BYTES].ljust(4, b"\0")
        at += TAG_BYTES + (a << 21 | b << 14 | c << 7 | d)
    end = min(len(data), at + 4096)
    return at if at == 0 else next((place for place in range(at, end) if data[place]), at)


def _claimed_s(frame: bytes) -> float | None:
    """The length that a first frame without sound tells: the note of the encoder."""
    at = max(frame.find(b"Xing"), frame.find(b"Info"))
    if at < 0 or not int.from_bytes(frame[at + 4 : at + 8]) & HAS_FRAMES:
        return None
    version = frame[1] >> 3 & 3
    frames = int.from_bytes(frame[at + 8 : at + 12])
    return frames * SAMPLES[version] * SLOWER[version] / RATES[frame[2] >> 2 & 3]


def _other(head: bytes) -> str | None:
    if head[4:8] == b"ftyp":
        return "M4A" if head[8:11] == b"M4A" else "MP4"
    if AAC.match(head):
        return "AAC"
    if head[:4] == b"RIFF":
        return "RIFF without sound"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "web page"
    return next((name for start, name in OTHERS if head.startswith(start)), None)
