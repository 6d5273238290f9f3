"""Sends each bucket to the store that it lies in. Knows names of buckets; does not know the stores."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from listener.contract import Fetched
from listener.leftovers import ObjectRemover
from listener.ports import Accepted, ArtifactStore


class RoutedArtifacts:
    """An artifact store made of two: these buckets lie in a store of their own."""

    def __init__(self, usual: ArtifactStore, elsewhere: ArtifactStore, buckets: Collection[str]) -> None:
        self._usual = usual
        self._elsewhere = elsewhere
        self._buckets = frozenset(buckets)

    async def put(self, bucket: str, path: str, data: bytes, content_type: str) -> None:
        """Write one object."""
        await self._of(bucket).put(bucket, path, data, content_type)

    async def sign(self, bucket: str, path: str, valid_s: int) -> str:
        """Make a URL that reads the object."""
        return await self._of(bucket).sign(bucket, path, valid_s)

    async def get(self, bucket: str, path: str, accepted: Accepted) -> Fetched:
        """Read one object."""
        return await self._of(bucket).get(bucket, path, accepted)

    def _of(self, bucket: str) -> ArtifactStore:
        return self._elsewhere if bucket in self._buckets else self._usual


class RoutedRemover:
    """Removes from both stores: what is older than the setting that moved a bucket still lies in the usual one."""

    def __init__(self, usual: ObjectRemover, elsewhere: ObjectRemover, buckets: Collection[str]) -> None:
        self._usual = usual
        self._elsewhere = elsewhere
        self._buckets = frozenset(buckets)

    async def remove(self, bucket: str, paths: Sequence[str]) -> None:
        """Remove objects; one that is not there is no error."""
        if bucket in self._buckets:
            await self._elsewhere.remove(bucket, paths)
        await self._usual.remove(bucket, paths)
