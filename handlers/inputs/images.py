"""Encodes images, off the event loop. Knows Pillow."""

from __future__ import annotations

import asyncio
import io

from PIL import Image

# 1024 x 1024: 65 ms at level 1, 301 ms at the default, for a file hardly larger (measured).
PNG_COMPRESS_LEVEL = 1
JPEG_QUALITY = 92
THUMBNAIL_SIDE_PX = 256
THUMBNAIL_QUALITY = 80


async def encode_png(rgb: bytes, width: int, height: int) -> bytes:
    """Encode pixels as PNG in a thread.

    Shapes: rgb is height * width * 3 bytes, row by row.
    """
    return await asyncio.to_thread(_encode_png, rgb, width, height)


async def encode_jpeg(rgb: bytes, width: int, height: int) -> bytes:
    """Encode pixels as JPEG with whole colours, in a thread.

    Shapes: rgb is height * width * 3 bytes, row by row.
    """
    return await asyncio.to_thread(_encode_jpeg, rgb, width, height)


async def encode_thumbnail(rgb: bytes, width: int, height: int, side_max_px: int = THUMBNAIL_SIDE_PX) -> bytes:
    """Bring pixels down to a small WebP of the same shape, in a thread; smaller ones stay as large as they are.

    Shapes: rgb is height * width * 3 bytes, row by row.
    """
    return await asyncio.to_thread(_encode_thumbnail, rgb, width, height, side_max_px)


def _encode_png(rgb: bytes, width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.frombytes("RGB", (width, height), rgb).save(buffer, "PNG", compress_level=PNG_COMPRESS_LEVEL)
    return buffer.getvalue()


def _encode_jpeg(rgb: bytes, width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.frombytes("RGB", (width, height), rgb).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def _encode_thumbnail(rgb: bytes, width: int, height: int, side_max_px: int) -> bytes:
    buffer = io.BytesIO()
    image = Image.frombytes("RGB", (width, height), rgb)
    image.thumbnail((side_max_px, side_max_px), Image.Resampling.LANCZOS)
    image.save(buffer, "WEBP", quality=THUMBNAIL_QUALITY)
    return buffer.getvalue()
