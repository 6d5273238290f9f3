"""Brings an attempt's files into the storage. Knows the ports and the paths; does not know what the files are of."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    retry_if_not_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from listener.contract import Artifact, SavedArtifact
from listener.engine.paths import ArtifactPaths
from listener.errors import StoreError, StoreFull, StoreUnavailable, UrlNotSigned
from listener.ports import ArtifactStore, Clock

TRIES = 4
THUMBNAIL_TYPE = "image/webp"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Uploads:
    """The files of one attempt. Units: valid_s is seconds for which a signed URL reads."""

    files: ArtifactStore
    clock: Clock
    bucket: str
    paths: ArtifactPaths
    valid_s: int

    async def upload(self, artifact: Artifact) -> SavedArtifact:
        """Store the thumbnail, then the file: what is recorded never names a thumbnail that is not there.

        Raises: StoreUnavailable, StoreRejected, UrlNotSigned; ValueError for names that may not be, facts not JSON.
        """
        path, facts = self.paths.of(artifact), plain(artifact.facts)
        thumbnail_path = await self._upload_thumbnail(artifact)
        await repeated(lambda: self.files.put(self.bucket, path, artifact.data, artifact.content_type))
        expires_at = self.clock.now() + timedelta(seconds=self.valid_s)
        url = await self._signed(path)
        return SavedArtifact(
            name=artifact.name,
            bucket=self.bucket,
            path=path,
            url=url,
            expires_at=expires_at,
            size_bytes=len(artifact.data),
            content_type=artifact.content_type,
            width=artifact.width,
            height=artifact.height,
            thumbnail_path=thumbnail_path,
            facts=facts,
        )

    async def _signed(self, path: str) -> str:
        """What is stored stays where it is: cleaning takes it for an upload under way, for two days."""
        try:
            return await repeated(lambda: self.files.sign(self.bucket, path, self.valid_s))
        except StoreError as error:
            details = {"dependency": "storage", "stored_in": self.bucket, "stored_as": path}
            raise UrlNotSigned(str(error), details=details) from error

    async def _upload_thumbnail(self, artifact: Artifact) -> str | None:
        thumbnail = artifact.thumbnail
        if thumbnail is None:
            return None
        path = self.paths.thumbnail_of(artifact)
        await repeated(lambda: self.files.put(self.bucket, path, thumbnail, THUMBNAIL_TYPE))
        return path


async def repeated(call: Callable[[], Awaitable[T]]) -> T:
    """Make an idempotent call again while the other side is away; one that is full has made room already."""
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type(StoreUnavailable) & retry_if_not_exception_type(StoreFull),
        wait=wait_random_exponential(multiplier=0.3, max=5),
        stop=stop_after_attempt(TRIES),
        reraise=True,
    ):
        with attempt:
            return await call()
    raise AssertionError("unreachable: the last try raises")


def plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse what is not JSON where the traceback names the handler. Raises: TypeError, ValueError."""
    checked: dict[str, Any] = json.loads(json.dumps(dict(value), allow_nan=False))
    return checked
