"""Reads an upload in the shapes that the clients send: multipart of supabase-py and supabase-js, or the raw body."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import BodyPartReader, hdrs, web

from devstack.objects.errors import StorageError, invalid_request
from devstack.objects.files import Stored

CHUNK_BYTES = 256 * 1024
LARGEST_FIELD_BYTES = 64 * 1024
DEFAULT_TYPE = "application/octet-stream"
FILE_PARTS = ("", "file")

# Checks the declared type, then stores the bytes.
Store = Callable[[str, AsyncIterator[bytes]], Awaitable[Stored]]


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload whose bytes are stored."""

    stored: Stored
    content_type: str
    cache_control: str
    metadata: dict[str, Any]


async def read_upload(http: web.Request, store: Store) -> Upload:
    """Read the whole request.

    Raises: StorageError.
    """
    if http.content_type.startswith("multipart/"):
        return await _multipart(http, store)
    # Without the header aiohttp says application/octet-stream, as the real server does.
    declared = http.headers.get(hdrs.CONTENT_TYPE, DEFAULT_TYPE)
    stored = await store(declared, http.content.iter_chunked(CHUNK_BYTES))
    cache_control = http.headers.get(hdrs.CACHE_CONTROL, "no-cache")
    return Upload(stored, declared, cache_control, _metadata_header(http.headers.get("x-metadata")))


async def _multipart(http: web.Request, store: Store) -> Upload:
    fields: dict[str, str] = {}
    stored: Stored | None = None
    declared = DEFAULT_TYPE
    # The file may come before or after the fields.
    async for part in await http.multipart():
        if not isinstance(part, BodyPartReader):
            raise invalid_request("nested multipart is not accepted")
        if part.filename is not None or (part.name or "") in FILE_PARTS:
            if stored is None:
                declared = part.headers.get(hdrs.CONTENT_TYPE, DEFAULT_TYPE)
                stored = await store(declared, _chunks(part))
        else:
            fields[part.name or ""] = (await part.read_chunk(LARGEST_FIELD_BYTES)).decode("utf-8", "replace")
    if stored is None:
        raise StorageError("400", "InvalidRequest", "No content provided", "InvalidRequest")
    cache_control = f"max-age={fields['cacheControl']}" if fields.get("cacheControl") else "no-cache"
    return Upload(stored, declared, cache_control, _json_object(fields.get("metadata")))


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(CHUNK_BYTES):
        yield chunk


def _metadata_header(value: str | None) -> dict[str, Any]:
    try:
        return _json_object(base64.b64decode(value or "", validate=True).decode("utf-8"))
    except (binascii.Error, UnicodeDecodeError):
        return {}


def _json_object(text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
