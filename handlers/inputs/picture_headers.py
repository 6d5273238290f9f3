"""What a file says of itself in its first bytes: format and size, before any decoder sees it.

Knows the headers of PNG, JPEG and WebP, and the names of what people give instead; decodes nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from listener.errors import Unusable

Format = Literal["PNG", "JPEG", "WebP"]
STILL = "give a PNG, a JPEG or a WebP with one picture in it"

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
SEGMENTS_MAX = 1000
FILL = re.compile(rb"\xff+")
"""What stands before a marker. Without the marker: a search for both reads a file of nothing but fill for days."""
# Every "start of frame": baseline, progressive, lossless ...; C4, C8 and CC are something else.
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
ENDS = frozenset({0xD9, 0xDA})
ANIMATED = 0x02

OTHERS = (
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"II*\x00", "a TIFF"),
    (b"MM\x00*", "a TIFF"),
    (b"%PDF", "a PDF"),
    (b"8BPS", "a Photoshop file"),
    (b"\x00\x00\x01\x00", "an icon"),
    (b"PK\x03\x04", "a ZIP"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL"),
    (b"\x1f\x8b", "a gzip file"),
)
BRANDS = {b"avif": "an AVIF", b"avis": "an AVIF", b"heic": "a HEIC", b"heix": "a HEIC", b"mif1": "a HEIC"}


@dataclass(frozen=True, slots=True)
class Header:
    """Units: width and height are pixels, as stored: the orientation is not applied."""

    format: Format
    width: int
    height: int


def read_header(data: bytes) -> Header:
    """Tell format and size. Raises: Unusable, which names the format that it is instead."""
    if data.startswith(PNG):
        return _sized("PNG", _png(data))
    if data.startswith(JPEG):
        return _sized("JPEG", _jpeg(data))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _sized("WebP", _webp(data))
    raise Unusable(f"is {_other(data)}", STILL)


def _sized(kind: Format, size: tuple[int, int] | None) -> Header:
    if size is None or 0 in size:
        raise Unusable(f"is a broken {kind}", "open the file, save it again, and give that")
    return Header(kind, *size)


def _png(data: bytes) -> tuple[int, int] | None:
    if data[12:16] != b"IHDR" or len(data) < len(PNG) + 25:
        return None
    return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])


def _jpeg(data: bytes) -> tuple[int, int] | None:
    at = 2
    for _ in range(SEGMENTS_MAX):
        begins = data.find(b"\xff", at)
        fill = FILL.match(data, begins) if begins >= 0 else None
        if fill is None or fill.end() == len(data) or (marker := data[fill.end()]) in ENDS:
            return None
        at = fill.end() + 1
        if marker in FRAMES:
            return int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 3 : at + 5])
        at += 0 if marker in ALONE else int.from_bytes(data[at : at + 2])
    return None


def _webp(data: bytes) -> tuple[int, int] | None:
    kind, body = data[12:16], data[20:30].ljust(10, b"\0")
    if kind == b"VP8X":
        if body[0] & ANIMATED:
            raise Unusable("is animated", STILL)
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L" and body.startswith(b"\x2f"):
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    return None


def _other(data: bytes) -> str:
    if data[4:8] == b"ftyp" and (name := BRANDS.get(data[8:12])):
        return name
    for start, name in OTHERS:
        if data.startswith(start):
            return name
    text = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    if text.startswith((b"<svg", b"<?xml")):
        return "an SVG"
    return "no picture that is known here"
