"""The bytes: one file a version, named by a random uuid; a key never becomes part of a path."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from devstack.objects.errors import too_large


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that was written."""

    version: str
    size_bytes: int
    etag: str


class Files:
    """A folder of versions."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def write(self, chunks: AsyncIterator[bytes], limit_bytes: int) -> Stored:
        """Write a new version; nothing stays behind when it fails.

        Raises: StorageError when there are more bytes than allowed.
        """
        version, size_bytes, digest = str(uuid4()), 0, hashlib.md5(usedforsecurity=False)
        path = self._path(version)
        try:
            with path.open("xb") as file:
                async for chunk in chunks:
                    size_bytes += len(chunk)
                    if size_bytes > limit_bytes:
                        raise too_large()
                    digest.update(chunk)
                    await asyncio.to_thread(file.write, chunk)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return Stored(version, size_bytes, f'"{digest.hexdigest()}"')

    async def copy(self, version: str | None) -> str:
        """A new version with the same bytes.

        Raises: FileNotFoundError.
        """
        made = str(uuid4())
        await asyncio.to_thread(shutil.copyfile, self._path(version), self._path(made))
        return made

    async def read(self, version: str | None) -> bytes:
        """All bytes of a version.

        Raises: FileNotFoundError.
        """
        return await asyncio.to_thread(self._path(version).read_bytes)

    def remove(self, version: str | None) -> None:
        """Remove a version; one that is not there is no error."""
        with suppress(FileNotFoundError):
            self._path(version).unlink()

    def _path(self, version: str | None) -> Path:
        # The version comes from a row that SQL may have written, so it is no path until it proved to be a uuid.
        try:
            return self._folder / str(UUID(version or ""))
        except ValueError:
            raise FileNotFoundError(version) from None
