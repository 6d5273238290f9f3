"""Gets what a provider made and decodes it. Knows where results lie and how large they may be; knows no wire.

A URL in an answer is only followed to the provider's own hosts; what comes back is decoded like a stranger's upload.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
from PIL import Image

from handlers.inputs.pictures import read_picture
from handlers.providers.answers import AnswerError, TooLargeError, UnreachedError
from handlers.providers.tries import patiently
from handlers.providers.wire import CONNECT_S, Watched
from listener.contract import GeneratedImage
from listener.errors import AttemptFailure, NothingProduced

BYTES_MAX = 32 * 2**20
SIDE_MAX_PX = 4096
DOWNLOAD_S = 30.0
FURTHER = 2
DEPTH_MAX = 4
KEYS = ("images", "image", "output", "result", "url", "image_url", "b64_json", "data", "content")
"""Where workers put what they made, the likeliest first."""
BASE64_CHARS_MIN = 64


class Results:
    """Fetches and decodes results. `hosts` are names whose subdomains count too; `base_url` is one more place."""

    def __init__(self, provider: str, hosts: Sequence[str], base_url: str | None = None) -> None:
        self._provider = provider
        self._hosts = tuple(hosts)
        self._base = httpx.URL(base_url) if base_url else None
        self._client = httpx.AsyncClient(
            transport=Watched(BYTES_MAX), timeout=httpx.Timeout(DOWNLOAD_S, connect=CONNECT_S), follow_redirects=False
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def image(self, found: str, seed: int) -> GeneratedImage:
        """The image that a URL, a data URI or base64 stands for.

        Raises: NothingProduced; never what would let another generator make it again, for this one made it already.
        """
        data = await self._fetched(found) if found.startswith(("http://", "https://")) else self._decoded(found)
        return await self.picture(data, seed)

    async def picture(self, data: bytes, seed: int) -> GeneratedImage:
        """Decode an image. Raises: NothingProduced."""
        try:
            picture = await read_picture(data, SIDE_MAX_PX, size_max_bytes=BYTES_MAX)
        except AttemptFailure as error:
            raise self._nothing("unreadable_image") from error
        return await asyncio.to_thread(_pixels, picture.png, seed)

    async def _fetched(self, url: str) -> bytes:
        self._require_own(url)

        async def get() -> bytes:
            return (await self._client.get(url)).content

        try:
            return await patiently(get, further=FURTHER, within_s=DOWNLOAD_S, begins_work=False)
        except TooLargeError as error:
            raise self._nothing("too_large") from error
        except (AnswerError, UnreachedError, TimeoutError) as error:
            raise self._nothing("not_fetched") from error

    def _require_own(self, url: str) -> None:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise self._nothing("foreign_address") from error
        if self._base is not None and (parsed.scheme, parsed.netloc) == (self._base.scheme, self._base.netloc):
            return
        known = any(parsed.host == host or parsed.host.endswith(f".{host}") for host in self._hosts)
        if parsed.scheme != "https" or parsed.userinfo or parsed.port not in (None, 443) or not known:
            raise self._nothing("foreign_address")

    def _decoded(self, found: str) -> bytes:
        if len(found) > BYTES_MAX * 4 // 3 + 100:
            raise self._nothing("too_large")
        try:
            return base64.b64decode(
                found.partition(";base64,")[2] if found.startswith("data:") else found, validate=True
            )
        except (binascii.Error, ValueError) as error:
            raise self._nothing("unreadable_image") from error

    def _nothing(self, reason: str) -> NothingProduced:
        return NothingProduced(f"{self._provider}: {reason}", details={"provider": self._provider, "reason": reason})


def pictures_in(output: Any, depth: int = DEPTH_MAX) -> Iterator[str]:
    """Find what may be images in a provider's output: URLs, data URIs, base64."""
    if isinstance(output, str):
        is_plain = len(output) >= BASE64_CHARS_MIN and not output[:BASE64_CHARS_MIN].count(" ")
        if output.startswith(("https://", "http://", "data:image/")) or is_plain:
            yield output
    elif depth and isinstance(output, list):
        for inner in output:
            yield from pictures_in(inner, depth - 1)
    elif depth and isinstance(output, dict):
        for key in KEYS:
            yield from pictures_in(output.get(key), depth - 1)


def data_uri(image: bytes) -> str:
    """An encoded image as a data URI."""
    kind = "png" if image.startswith(b"\x89PNG") else "webp" if image[8:12] == b"WEBP" else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def _pixels(png: bytes, seed: int) -> GeneratedImage:
    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
        rgb = image.convert("RGB")
    return GeneratedImage(rgb.tobytes(), rgb.width, rgb.height, seed)
