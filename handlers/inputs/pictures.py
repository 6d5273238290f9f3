"""Reads pictures of strangers: checked by what they are, decoded in a process of their own, handed on as clean pixels.

Knows formats, limits and the words for what is wrong; does not know where a picture comes from or what it is for.
"""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakKeyDictionary

from handlers.inputs import picture_decoder
from handlers.inputs.confined import confined
from handlers.inputs.images import encode_png
from handlers.inputs.picture_headers import STILL, Header, read_header
from listener.errors import InputUnavailable, Unusable

SIDE_MAX_PX = 1024
DATA_MAX_BYTES = 10 * 2**20
PIXELS_MAX = 25_000_000
STORED_SIDE_MAX_PX = 16_384
DECODERS = 2
"""So many at once; a decoder is one core's work."""
CPU_S = 5
DECODE_S = 20.0
DECODER = Path(picture_decoder.__file__)
SAVED_AGAIN = "open the file, save it again, and give that"
TOO_SLOW = ("takes too long to decode", SAVED_AGAIN)
REFUSALS = {
    picture_decoder.ANIMATED: ("is animated", STILL),
    picture_decoder.TOO_LARGE: ("has more than 25 megapixels", "give a smaller picture"),
    -signal.SIGXCPU: TOO_SLOW,
    picture_decoder.NO_MEMORY: ("takes more memory than a picture of its size may", SAVED_AGAIN),
}
# What a decoder holds for each pixel: PNG 4; a progressive JPEG 6 (all of its coefficients) or, as CMYK, 8; WebP 16: it
# keeps two frames and hands over a copy. At 25 megapixels that is 130, 190 and 380 MiB (measured).
PIXEL_BYTES = {"PNG": 4.5, "JPEG": 8, "WebP": 18}
FIXED_BYTES = 48 * 2**20

_lines: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture without a past: upright sRGB on white, no metadata, newly encoded. Units: pixels."""

    png: bytes = field(repr=False)
    width: int
    height: int


async def read_picture(
    data: bytes, side_max_px: int = SIDE_MAX_PX, field: str = "", size_max_bytes: int = DATA_MAX_BYTES
) -> Picture:
    """Decode a PNG, JPEG or WebP and bring it down to `side_max_px`; smaller ones stay as large as they are.

    Raises: InputUnavailable, which names `field`, what is wrong, and what to give instead.
    """
    try:
        header = _checked(data, size_max_bytes)
        line = _lines.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(DECODERS))
        async with line:
            answer = await _decoded(data, side_max_px, _memory_bytes(header, data, side_max_px))
        width, height, rgb = _pixels(answer, side_max_px)
    except Unusable as error:
        told = {"field": field} if field else {}
        raise InputUnavailable(str(error), details={**told, "problem": error.problem, "remedy": error.remedy}) from None
    return Picture(await encode_png(rgb, width, height), width, height)


def _checked(data: bytes, size_max_bytes: int) -> Header:
    if len(data) > size_max_bytes:
        raise Unusable(f"is larger than {size_max_bytes // 2**20} MiB", "give a smaller file")
    header = read_header(data)
    if header.width * header.height > PIXELS_MAX or max(header.width, header.height) > STORED_SIDE_MAX_PX:
        problem = f"has {header.width} x {header.height} pixels"
        raise Unusable(problem, f"give at most 25 megapixels, and {STORED_SIDE_MAX_PX} a side")
    return header


def _memory_bytes(header: Header, data: bytes, side_max_px: int) -> int:
    """What its decoder may take: for the file, for the decoded picture, and for the copy that is made smaller."""
    pixels = header.width * header.height
    copied = min(pixels, (4 * side_max_px) ** 2)
    return int(FIXED_BYTES + 2 * len(data) + PIXEL_BYTES[header.format] * pixels + 4 * copied)


async def _decoded(data: bytes, side_max_px: int, memory_bytes: int) -> bytes:
    """Let a process decode, and kill it when it takes too long. Raises: Unusable."""
    arguments = (side_max_px, PIXELS_MAX, memory_bytes, CPU_S)
    try:
        status, answer = await confined(DECODER, arguments, data, 8 + 3 * side_max_px**2, DECODE_S)
    except TimeoutError:
        raise Unusable(*TOO_SLOW) from None
    if status != 0:
        raise Unusable(*REFUSALS.get(status, ("is broken", SAVED_AGAIN)))
    return answer


def _pixels(answer: bytes, side_max_px: int) -> tuple[int, int, bytes]:
    """Width, height, pixels; checked, for a decoder that was broken into may answer anything."""
    width, height = int.from_bytes(answer[:4]), int.from_bytes(answer[4:8])
    if not 0 < max(width, height) <= side_max_px or len(answer) != 8 + 3 * width * height:
        raise Unusable("is broken", SAVED_AGAIN)
    return width, height, answer[8:]
