"""Makes room in a store that is full: cleans once, tries once more. Does not know what may go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from listener.contract import Fetched, Log
from listener.errors import StoreError, StoreFull
from listener.ports import Accepted, ArtifactStore, Clock

MAKING_S = 120.0
REST_S = 60.0
"""What was in vain is not done again so soon."""

MakeRoom = Callable[[str], Awaitable[object]]
"""Removes what may go of a bucket. Raises: StoreError."""


class RoomyArtifacts:
    """An artifact store that cleans when it is full."""

    def __init__(self, artifacts: ArtifactStore, make_room: MakeRoom, clock: Clock, log: Log) -> None:
        self._artifacts = artifacts
        self._make_room = make_room
        self._clock = clock
        self._log = log
        self._making = asyncio.Lock()
        self._made_at: float | None = None

    async def put(self, bucket: str, path: str, data: bytes, content_type: str) -> None:
        """Write one object. Raises: StoreFull, when cleaning was no help."""
        asked_at = self._clock.monotonic()
        try:
            await self._artifacts.put(bucket, path, data, content_type)
        except StoreFull as full:
            self._log.error("storage_full", bucket=bucket, size_bytes=len(data), error=str(full))
            if not await self._made_room(bucket, asked_at):
                raise
            await self._artifacts.put(bucket, path, data, content_type)
            self._log.info("room_made", bucket=bucket)

    async def sign(self, bucket: str, path: str, valid_s: int) -> str:
        """Make a URL that reads the object."""
        return await self._artifacts.sign(bucket, path, valid_s)

    async def get(self, bucket: str, path: str, accepted: Accepted) -> Fetched:
        """Read one object."""
        return await self._artifacts.get(bucket, path, accepted)

    async def _made_room(self, bucket: str, asked_at: float) -> bool:
        """Clean, one at a time; who waited for another's cleaning takes that for his own."""
        async with self._making:
            now = self._clock.monotonic()
            if self._made_at is not None and (self._made_at >= asked_at or now - self._made_at < REST_S):
                return self._made_at >= asked_at
            try:
                async with asyncio.timeout(MAKING_S):
                    await self._make_room(bucket)
            except (StoreError, TimeoutError) as error:
                self._log.warning("no_room_made", bucket=bucket, error=str(error) or "it took too long")
            self._made_at = self._clock.monotonic()
            return True
