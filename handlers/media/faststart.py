"""Puts the index of an MP4 before its pictures, so that a page plays it while it comes. Knows boxes, no codecs."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

PATH = (b"trak", b"mdia", b"minf", b"stbl")
OFFSETS = {b"stco": ("I", 4), b"co64": ("Q", 8)}
LARGE = 1
BOXES_MAX = 10_000


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int, int]]:
    """Each box: its name, where it begins, where its body begins, where it ends. Raises: ValueError for no box."""
    at, stop = start, len(data) if end is None else end
    for _ in range(BOXES_MAX):
        if at >= stop:
            return
        size, name = struct.unpack_from(">I4s", data, at) if at + 8 <= stop else (0, b"")
        body = at + 8
        if size == LARGE and at + 16 <= stop:
            size, body = int.from_bytes(data[at + 8 : at + 16]), at + 16
        elif size == 0 and name:
            size = stop - at
        if size < body - at or at + size > stop:
            raise ValueError("a box of the clip is cut off")
        yield name, at, body, at + size
        at += size
    raise ValueError("the clip has too many boxes")


def started_at_once(mp4: bytes) -> bytes:
    """The same clip with its index in front; only where its places are told changes.

    Raises: ValueError for what is no MP4, or one whose places do not fit any more.
    """
    found: dict[bytes, tuple[int, int, int]] = {}
    for name, box_at, box_body, box_end in boxes(mp4):
        found.setdefault(name, (box_at, box_body, box_end))  # of several with pictures, the first
    (start, body, end), pictures = found[b"moov"], found[b"mdat"][0]
    if start < pictures:
        return mp4
    index = bytearray(mp4[start:end])
    _move(index, body - start, len(index), lambda place: place + len(index) if place < start else place, ())
    return b"".join((mp4[:pictures], index, mp4[pictures:start], mp4[end:]))


def _move(index: bytearray, start: int, end: int, to: Callable[[int], int], inside: tuple[bytes, ...]) -> None:
    """Tell every place that the index tells as it is now."""
    for name, _, body, stop in boxes(bytes(index), start, end):
        if inside == PATH and name in OFFSETS:
            form, width = OFFSETS[name]
            count = int.from_bytes(index[body + 4 : body + 8])
            if body + 8 + count * width > stop:
                raise ValueError("the index of the clip is broken")
            places = struct.unpack_from(f">{count}{form}", index, body + 8)
            moved = [to(place) for place in places]
            if moved and max(moved) >= 1 << 8 * width:
                raise ValueError("the clip is too large for its index")
            struct.pack_into(f">{count}{form}", index, body + 8, *moved)
        elif PATH[: len(inside) + 1] == (*inside, name):
            _move(index, body, stop, to, (*inside, name))
