"""The bucket `uploads`: what people give to be worked on, put there once.

Knows the storage's client and its refusals; does not know in whose name the client speaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from storage3 import AsyncStorageClient
from storage3.exceptions import StorageApiError

from listener.adapters.failures import translated
from listener.adapters.tries import UPLOAD_BEGUN_WITHIN_S, tries
from listener.engine.inputs import UPLOADS

THERE_ALREADY = "409"


async def put_new(storage: AsyncStorageClient, path: str, data: bytes | Path, content_type: str) -> None:
    """Write an object, from a file piece by piece; one that is there stays as it is.

    Raises: StoreUnavailable, StoreRejected.
    """
    # The library sends the options as headers; a refused upload can hang the next request on its connection.
    options = {"content-type": content_type, "upsert": "false", "headers": {"Connection": "close"}}
    async for attempt in tries(UPLOAD_BEGUN_WITHIN_S):
        with attempt, translated(f"upload to {UPLOADS}"):
            try:
                await storage.from_(UPLOADS).upload(path, data, options)  # type: ignore[arg-type]
            except StorageApiError as error:
                if str(error.status) != THERE_ALREADY:
                    raise


async def remove(storage: AsyncStorageClient, paths: Sequence[str]) -> None:
    """Remove objects; one that is not there is no error. Raises: StoreUnavailable, StoreRejected."""
    async for attempt in tries():
        with attempt, translated(f"removal from {UPLOADS}"):
            await storage.from_(UPLOADS).remove(list(paths))
