"""How large a clip is: one of three shapes, the one nearest to the picture's. Units: pixels."""

from __future__ import annotations

from collections.abc import Mapping

from handlers.avatar.params import Resolution

LYING_FROM = 1.2
"""Width by height: 4:3 and 3:4, what phones take, become wide and upright; what is nearly square stays so."""
SIZES: Mapping[Resolution, tuple[tuple[int, int], int]] = {"720p": ((1280, 720), 960), "480p": ((832, 480), 640)}


def size_of(width: int, height: int, resolution: Resolution) -> tuple[int, int]:
    """Give a picture of this shape the size of its clip."""
    (long, short), square = SIZES[resolution]
    if width >= LYING_FROM * height:
        return long, short
    if height >= LYING_FROM * width:
        return short, long
    return square, square
