"""Answers with an object's bytes: ranges, conditions, the name to save it under."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from email.utils import format_datetime, formatdate, parsedate_to_datetime
from urllib.parse import quote

import asyncpg
from aiohttp import hdrs, web

from devstack.objects.answered import metadata_of
from devstack.objects.errors import StorageError

# A page from here would run with the project's origin.
SHOWN_AS_TEXT = ("text/html", "application/xhtml+xml")
# What the real server writes for a token that never ends.
NEVER = "Invalid Date"


def cache_headers(row: asyncpg.Record) -> dict[str, str]:
    """What tells a cache which bytes these are and how long they are good."""
    metadata = metadata_of(row)
    return {
        hdrs.ETAG: str(metadata.get("eTag", "")),
        hdrs.LAST_MODIFIED: format_datetime(modified_at(row), usegmt=True),
        hdrs.CACHE_CONTROL: str(metadata.get("cacheControl", "no-cache")),
    }


def modified_at(row: asyncpg.Record) -> datetime:
    """When the bytes came, to the second."""
    changed: datetime = row["updated_at"]
    with suppress(KeyError, ValueError):
        changed = datetime.fromisoformat(str(metadata_of(row)["lastModified"]))
    return changed.replace(microsecond=0)


def bytes_response(
    http: web.Request, row: asyncpg.Record, data: bytes, *, signed: bool = False, ends_s: int | None = None
) -> web.Response:
    """The object, or the part of it that was asked for; instead of Cache-Control a signed URL says when it ends.

    Raises: StorageError 416.
    """
    kind = str(metadata_of(row).get("mimetype", "application/octet-stream"))
    headers = {
        **cache_headers(row),
        "Accept-Ranges": "bytes",
        hdrs.CONTENT_TYPE: "text/plain" if kind.partition(";")[0].strip().lower() in SHOWN_AS_TEXT else kind,
        "x-robots-tag": "none",
        "X-Content-Type-Options": "nosniff",
    }
    if signed:
        del headers[hdrs.CACHE_CONTROL]
        headers[hdrs.EXPIRES] = NEVER if ends_s is None else formatdate(ends_s, usegmt=True)
    if "download" in http.query:
        headers[hdrs.CONTENT_DISPOSITION] = _disposition(http.query["download"])
    if _is_known(http, row):
        return web.Response(status=304, headers=headers)
    wanted = _range(http, len(data))
    if wanted is None:
        return web.Response(body=data, headers=headers)
    first, last = wanted
    headers[hdrs.CONTENT_RANGE] = f"bytes {first}-{last - 1}/{len(data)}"
    return web.Response(status=206, body=data[first:last], headers=headers)


def _is_known(http: web.Request, row: asyncpg.Record) -> bool:
    """Whether the caller has these bytes; the tag counts before the time."""
    tags = http.headers.get(hdrs.IF_NONE_MATCH)
    if tags is not None:
        etag = str(metadata_of(row).get("eTag", ""))
        return tags.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in tags.split(","))
    try:
        since = parsedate_to_datetime(http.headers.get(hdrs.IF_MODIFIED_SINCE, ""))
    except ValueError:
        return False
    return since.tzinfo is not None and modified_at(row) <= since


def _range(http: web.Request, size_bytes: int) -> tuple[int, int] | None:
    """First byte and the one after the last, None for everything; what is no range of bytes asks for everything."""
    try:
        first, last, _ = http.http_range.indices(size_bytes)
    except ValueError:
        return None
    if hdrs.RANGE not in http.headers:
        return None
    if first >= last:
        raise StorageError("416", "invalid_range", "invalid range provided", "InvalidRange")
    return first, last


def _disposition(name: str) -> str:
    if not name:
        return "attachment;"
    quoted = quote(name, safe="")
    return f"attachment; filename={quoted}; filename*=UTF-8''{quoted}"
