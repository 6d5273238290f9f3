"""The process that decodes one picture of a stranger: file in, pixels out, and nothing else within its reach.

Started as a script with an empty environment; knows Pillow and its own limits. Answers with 8 bytes of size and the
pixels, or with one of the statuses below and no word of its own: whoever breaks a decoder shall not be quoted.
"""

from __future__ import annotations

import io
import math
import resource
import sys
import warnings
from pathlib import Path

from PIL import Image, ImageCms, ImageFile, MpoImagePlugin, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin

BROKEN, ANIMATED, TOO_LARGE, NO_MEMORY = 10, 11, 12, 13
FORMATS = ("PNG", "JPEG", "WEBP")
STRIP_PIXELS = 500_000
ORIENTATION = 0x0112
LOADED = (MpoImagePlugin, TiffImagePlugin, WebPImagePlugin)
"""Pillow loads them when it meets the first such picture, and then no file can be opened any more."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def main(side_max_px: int, pixels_max: int, memory_bytes: int, cpu_s: int) -> int:
    """Decode standard input. Units: memory_bytes is what may come on top of what this process has now."""
    Image.preinit()
    _limit(memory_bytes, cpu_s)
    data = sys.stdin.buffer.read()
    warnings.simplefilter("ignore")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > pixels_max:
                return TOO_LARGE
            if image.format != "MPO" and getattr(image, "is_animated", False):
                return ANIMATED  # an MPO is a phone's JPEG with a depth map or a second view behind it
            made = decoded(image, side_max_px)
    except MemoryError:
        return NO_MEMORY
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, TypeError, ArithmeticError, LookupError):
        return BROKEN
    sys.stdout.buffer.write(made.width.to_bytes(4) + made.height.to_bytes(4) + made.tobytes())
    return 0


def decoded(image: ImageFile.ImageFile, side_max_px: int) -> Image.Image:
    """Turn a picture into upright sRGB of at most so many pixels a side, with nothing but its pixels left."""
    image.draft("RGB" if image.mode != "CMYK" else None, (side_max_px, side_max_px))
    image.load()
    orientation, profile = _orientation(image), image.info.get("icc_profile")
    small = _reduced(image, side_max_px)
    small.thumbnail((side_max_px, side_max_px), Image.Resampling.LANCZOS)
    if isinstance(profile, bytes) and image.mode in ("RGB", "RGBA", "P"):
        small = _in_srgb(small, profile)
    turn = TURNS.get(orientation)
    return small if turn is None else small.transpose(turn)


def _limit(memory_bytes: int, cpu_s: int) -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    bound = pages * resource.getpagesize() + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    # No file and no connection besides standard input, output and error: what takes over a decoder stays alone with it.
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except (OSError, ValueError, SyntaxError, TypeError, ArithmeticError, LookupError):
        return 1  # what is wrong with the notes is not wrong with the picture


def _reduced(image: Image.Image, side_max_px: int) -> Image.Image:
    """Average down by a whole number, strip by strip, to no less than twice the size wanted: a copy is too much."""
    factor = max(1, max(image.size) // (2 * side_max_px))
    rows = max(1, STRIP_PIXELS // image.width // factor) * factor
    small = Image.new("RGB", (math.ceil(image.width / factor), math.ceil(image.height / factor)))
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        small.paste(_rgb(strip).reduce(factor), (0, top // factor))
    return small


def _rgb(image: Image.Image) -> Image.Image:
    """White behind what can be seen through."""
    if image.mode.startswith("I"):  # 16 bits of grey; a plain conversion would cut them off at 255
        image = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    seen = image.convert("RGBA")
    white = Image.new("RGBA", seen.size, "white")
    return Image.alpha_composite(white, seen).convert("RGB")


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    try:
        theirs = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        made = ImageCms.profileToProfile(image, theirs, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image
    return made or image


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:5])))
