"""Real photographs for tests: public-domain ones that ship inside scikit-image, cut as a shop and its customer would.

Nothing of scikit-image is imported: only its files are read.
"""

from __future__ import annotations

import importlib.util
import io
from functools import cache
from pathlib import Path

from PIL import Image

QUALITY = 90
SUIT = (150, 250, 400, 500)
"""Where the astronaut's suit is in her photograph: left, upper, right, lower."""
ORIENTATION = 0x0112
QUARTER_TURN = 6


def photograph(name: str) -> Path:
    """Find a photograph by the name of its file."""
    found = importlib.util.find_spec("skimage")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "data" / name


@cache
def person(side_px: int = 256) -> bytes:
    """An astronaut's portrait by NASA, as a JPEG."""
    return _jpeg(Image.open(photograph("astronaut.png")).convert("RGB").resize((side_px * 3 // 4, side_px)))


@cache
def garment(side_px: int = 192) -> bytes:
    """Her suit alone, as a shop would show it, as a JPEG."""
    return _jpeg(Image.open(photograph("astronaut.png")).convert("RGB").crop(SUIT).resize((side_px, side_px)))


@cache
def turned_person() -> bytes:
    """The portrait as a phone held sideways stores it: lying, with a note that it has to be turned."""
    image = (
        Image.open(photograph("astronaut.png")).convert("RGB").resize((192, 256)).transpose(Image.Transpose.ROTATE_90)
    )
    exif = Image.Exif()
    exif[ORIENTATION] = QUARTER_TURN
    return _jpeg(image, exif)


def _jpeg(image: Image.Image, exif: Image.Exif | None = None) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY, exif=exif or Image.Exif())
    return buffer.getvalue()
