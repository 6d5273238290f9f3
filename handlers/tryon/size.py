"""How large a try-on is: the shape of the person's picture, at the size that models draw best. Units: pixels."""

from __future__ import annotations

SIDE_PX = 1024
SIDE_MIN_PX = 256
SIDE_MULTIPLE_PX = 16


def size_of(width: int, height: int) -> tuple[int, int]:
    """Give a picture of this shape its size; what is drawn may be smaller, where the pipeline is set so."""
    scale = SIDE_PX / max(width, height)
    return _side(width * scale), _side(height * scale)


def _side(exact_px: float) -> int:
    return max(SIDE_MIN_PX, round(exact_px / SIDE_MULTIPLE_PX) * SIDE_MULTIPLE_PX)
