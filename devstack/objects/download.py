"""Answers with an object's bytes: ranges, ETag, the name to save it under."""

from __future__ import annotations

from email.utils import formatdate
from urllib.parse import quote

import asyncpg
from aiohttp import hdrs, web

from devstack.objects.errors import StorageError
from devstack.objects.shapes import metadata_of

# A page from here would run with the project's origin.
SHOWN_AS_TEXT = ("text/html", "application/xhtml+xml")


def bytes_response(
    http: web.Request, row: asyncpg.Record, data: bytes, *, expires_at_s: int | None, signed: bool
) -> web.Response:
    """The object, or the part of it that was asked for.

    Raises: StorageError 416.
    """
    metadata = metadata_of(row)
    kind = str(metadata.get("mimetype", "application/octet-stream"))
    headers = {
        "Accept-Ranges": "bytes",
        hdrs.CONTENT_TYPE: "text/plain" if kind.partition(";")[0].strip().lower() in SHOWN_AS_TEXT else kind,
        hdrs.ETAG: str(metadata.get("eTag", "")),
        "x-robots-tag": "none",
        "X-Content-Type-Options": "nosniff",
        hdrs.LAST_MODIFIED: formatdate(row["updated_at"].timestamp(), usegmt=True),
    }
    if not signed:
        headers[hdrs.CACHE_CONTROL] = str(metadata.get("cacheControl", "no-cache"))
    elif expires_at_s is not None:
        headers[hdrs.EXPIRES] = formatdate(expires_at_s, usegmt=True)
    if "download" in http.query:
        headers[hdrs.CONTENT_DISPOSITION] = _disposition(http.query["download"])
    if http.headers.get(hdrs.IF_NONE_MATCH) == headers[hdrs.ETAG]:
        return web.Response(status=304, headers=headers)
    first, last = _range(http, len(data))
    if (first, last) == (0, len(data)) and hdrs.RANGE not in http.headers:
        return web.Response(body=data, headers=headers)
    headers[hdrs.CONTENT_RANGE] = f"bytes {first}-{last - 1}/{len(data)}"
    return web.Response(status=206, body=data[first:last], headers=headers)


def _range(http: web.Request, size_bytes: int) -> tuple[int, int]:
    try:
        first, last, _ = http.http_range.indices(size_bytes)
    except ValueError:
        return 0, size_bytes
    if hdrs.RANGE in http.headers and first >= last:
        raise StorageError("416", "invalid_range", "invalid range provided", "InvalidRange")
    return first, last


def _disposition(name: str) -> str:
    if not name:
        return "attachment;"
    quoted = quote(name, safe="")
    return f"attachment; filename={quoted}; filename*=UTF-8''{quoted}"
