"""Reads an upload in the shapes that the clients send: multipart of supabase-py and supabase-js, or the raw body."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import BodyPartReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from devstack.objects.errors import StorageError, invalid_request, too_large
from devstack.objects.files import Stored
from devstack.received import read_json

CHUNK_BYTES = 256 * 1024
LARGEST_FIELD_BYTES = 1024 * 1024
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
    if hdrs.CONTENT_ENCODING in http.headers:
        raise _not_encoded()
    if http.content_type == "multipart/form-data":
        try:
            return await _multipart(http, store)
        except (ValueError, HttpProcessingError):  # no boundary, none where one should be, or a broken header
            raise _nothing() from None
    # Without the header aiohttp says application/octet-stream, as the real server does.
    declared = http.headers.get(hdrs.CONTENT_TYPE, DEFAULT_TYPE)
    stored = await store(declared, http.content.iter_chunked(CHUNK_BYTES))
    cache_control = http.headers.get(hdrs.CACHE_CONTROL, "no-cache")
    return Upload(stored, declared, cache_control, user_metadata(http))


def _nothing() -> StorageError:
    return StorageError("400", "InvalidRequest", "No content provided", "InvalidRequest")


def _not_encoded() -> StorageError:
    """Encoded bytes would not be served as such, so they are not taken."""
    return invalid_request("headers/content-encoding is not supported")


async def _multipart(http: web.Request, store: Store) -> Upload:
    fields: dict[str, str] = {}
    stored: Stored | None = None
    declared: str = DEFAULT_TYPE
    # The file may come before or after the fields.
    async for part in await http.multipart():
        if not isinstance(part, BodyPartReader):
            raise invalid_request("nested multipart is not accepted")
        if part.filename is None and (part.name or "") not in FILE_PARTS:
            fields[part.name or ""] = await _field(part)
            if part.name == "contentEncoding":
                raise _not_encoded()
        elif stored is None:
            declared = fields.get("contentType") or str(part.headers.get(hdrs.CONTENT_TYPE, DEFAULT_TYPE))
            stored = await store(declared, _chunks(part))
    if stored is None:
        raise _nothing()
    cache_control = f"max-age={fields['cacheControl']}" if fields.get("cacheControl") else "no-cache"
    return Upload(stored, declared, cache_control, json_object(fields.get("metadata") or fields.get("userMetadata")))


async def _field(part: BodyPartReader) -> str:
    value = b""
    while chunk := await part.read_chunk(CHUNK_BYTES):
        value += chunk
        if len(value) > LARGEST_FIELD_BYTES:
            raise too_large("user_metadata")
    return value.decode("utf-8", "replace")


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(CHUNK_BYTES):
        yield chunk


def user_metadata(http: web.Request) -> dict[str, Any]:
    """What the header says of the object; what cannot be read says nothing."""
    try:
        return json_object(base64.b64decode(http.headers.get("x-metadata", ""), validate=True).decode("utf-8"))
    except (binascii.Error, UnicodeDecodeError):
        return {}


def json_object(text: str | None) -> dict[str, Any]:
    """The object that is written there, empty when there is none."""
    try:
        value = read_json(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
