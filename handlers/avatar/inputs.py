"""The picture and the voice of an avatar, decoded. Knows their limits; does not know models."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from handlers.inputs.picture_headers import read_header
from handlers.inputs.pictures import Picture, read_picture
from handlers.media.sound import read_audio
from listener.errors import InputUnavailable, InvalidParams, Unusable

PICTURE_SIDE_MAX_PX = 1280
PICTURE_FORMATS = ["png", "jpg", "webp"]
UNKNOWN = "unknown"
NAMED = re.compile(r"is an? (.+)")

Left = TypeVar("Left")
Right = TypeVar("Right")


async def together(left: Awaitable[Left], right: Awaitable[Right]) -> tuple[Left, Right]:
    """Wait for both. Raises: what the first one to fail raises; the other one is stopped."""

    async def one(awaited: Awaitable[Any]) -> Any:
        return await awaited

    try:
        async with asyncio.TaskGroup() as group:
            first, second = group.create_task(one(left)), group.create_task(one(right))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return first.result(), second.result()


async def read_portrait(data: bytes, field: str) -> Picture:
    """Decode the picture of who is to speak. Raises: InputUnavailable, whose details have a `reason` for programs."""
    try:
        return await read_picture(data, PICTURE_SIDE_MAX_PX, field)
    except InputUnavailable as error:
        error.details |= _reason(data)
        raise


async def inspect(files: Mapping[str, Path]) -> tuple[str, ...]:
    """Decode the files `image` and `audio` of a request; tells what to be warned of. Raises: InvalidParams."""
    image, audio = await together(_read(files["image"]), _read(files["audio"]))
    try:
        _, sound = await together(read_portrait(image, "image"), read_audio(audio, "audio"))
    except InputUnavailable as error:
        raise InvalidParams(str(error), details=error.details) from None
    return sound.warnings


async def _read(path: Path) -> bytes:
    return await asyncio.to_thread(path.read_bytes)


def _reason(data: bytes) -> dict[str, Any]:
    try:
        read_header(data)
    except Unusable as error:
        named = NAMED.fullmatch(error.problem)
        if named is None or not named[1].startswith("broken "):
            received = named[1].lower() if named else UNKNOWN
            facts = {"received_format": received, "supported_formats": PICTURE_FORMATS}
            return {"reason": "INVALID_IMAGE_FORMAT", **facts}
    return {"reason": "INVALID_IMAGE"}
