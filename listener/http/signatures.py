"""What a file's first bytes say that it is. Knows signatures; whether it can be decoded, a decoder finds out."""

from __future__ import annotations

from dataclasses import dataclass

HEAD_BYTES = 16
EMPTY, UNKNOWN = "empty", "unknown"
_PREFIXES = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"BM", "bmp"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"ID3", "mp3"),
    (b"fLaC", "flac"),
    (b"OggS", "ogg"),
    (b"\x1aE\xdf\xa3", "webm"),
    (b"%PDF", "pdf"),
)
_RIFF = {b"WAVE": "wav", b"WEBP": "webp", b"AVI ": "avi"}
_BRANDS = {b"avif": "avif", b"heic": "heic", b"heix": "heic", b"mif1": "heic", b"M4A ": "m4a"}
_MPEG_LAYERS = {0: "aac", 1: "mp3"}
"""Of a frame of MPEG audio: the two bits of the layer; layer III is 1, and AAC's own frames say 0."""


@dataclass(frozen=True, slots=True)
class FileType:
    """How a format is stored: its content type, and the ending of its files."""

    content_type: str
    ending: str


IMAGES = {"png": FileType("image/png", "png"), "jpeg": FileType("image/jpeg", "jpg")}
SOUNDS = {"wav": FileType("audio/wav", "wav"), "mp3": FileType("audio/mpeg", "mp3")}


def format_of(head: bytes) -> str:
    """The name of a file's format, by its first HEAD_BYTES; `empty` or `unknown` where there is none."""
    if not head:
        return EMPTY
    for prefix, name in _PREFIXES:
        if head.startswith(prefix):
            return name
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], UNKNOWN)
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "mp4")
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:  # noqa: PLR2004 - eleven bits that say: a frame
        return _MPEG_LAYERS.get(head[1] >> 1 & 3, UNKNOWN)
    return UNKNOWN
