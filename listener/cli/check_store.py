"""What `listener check` asks of a store of results beside Supabase: a small object is put, signed, read and removed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx

from listener.cli.findings import Finding
from listener.elsewhere import elsewhere_of
from listener.errors import ConfigError, StoreError
from listener.settings import Settings

if TYPE_CHECKING:
    from listener.adapters.s3 import S3ArtifactStore

NAME = "s3"
WORDS = b"written by listener check"
VALID_S = 60
READ_S = 10.0
REMEDY = "see docs/operations.md, Results on S3 or R2"


async def check_store(settings: Settings) -> AsyncIterator[Finding]:
    """Its finding; none where all results lie in Supabase Storage."""
    if settings.s3_place() is None:
        return
    try:
        async with elsewhere_of(settings, 1) as store:
            if store is not None:
                yield await _probed(store)
    except ConfigError as error:
        yield Finding(NAME, "failing", str(error), "pip install 'listener[s3]'")


async def _probed(store: S3ArtifactStore) -> Finding:
    bucket, path = store.place.buckets[0], f"listener-check/{uuid4()}.txt"
    step = "write"
    try:
        await store.ping()
        await store.put(bucket, path, WORDS, "text/plain")
        step = "sign"
        url = await store.sign(bucket, path, VALID_S)
        step = "read"
        problem = await _read(url)
        step = "remove"
        await store.remove(bucket, [path])
    except StoreError as error:
        return Finding(NAME, "failing", f"{store.place.endpoint}: {step}: {error}", REMEDY)
    if problem:
        return Finding(NAME, "failing", f"{store.place.endpoint}: a signed URL {problem}", REMEDY)
    return Finding(NAME, "ok", f"{', '.join(store.place.buckets)} in {store.place.bucket} at {store.place.endpoint}")


async def _read(url: str) -> str:
    """Read as a browser does, without a key; what is wrong, if anything. The URL is told to nobody."""
    try:
        async with httpx.AsyncClient(timeout=READ_S) as browser:
            answer = await browser.get(url)
    except httpx.HTTPError as error:
        return f"cannot be read from here: {type(error).__name__}"
    if answer.status_code != httpx.codes.OK:
        return f"is answered with {answer.status_code}"
    return "" if answer.content == WORDS else "reads something else"
