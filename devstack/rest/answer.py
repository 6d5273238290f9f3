"""Turns the row that a statement gave into an HTTP answer: status, Content-Range, Location, headers set by SQL."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import asyncpg
from aiohttp import web
from multidict import CIMultiDict

from devstack.rest.errors import RestError, is_final, is_header
from devstack.rest.request import Asked

OK, NO_CONTENT, PARTIAL = 200, 204, 206


def check_single(asked: Asked, row_count: int) -> None:
    """Refuse when one object was asked for and there is not exactly one row.

    Raises: RestError PGRST116; inside the transaction, so that a write is rolled back.
    """
    if asked.shape.is_object and row_count != 1:
        details = f"The result contains {row_count} rows"
        raise RestError(406, "PGRST116", "Cannot coerce the result to a single JSON object", details)


def check_max_affected(asked: Asked, row_count: int) -> None:
    """Refuse a strict write that hit more rows than allowed; inside the transaction.

    Raises: RestError PGRST124.
    """
    limit = asked.preferences.max_affected
    if limit is not None and row_count > limit:
        details = f"The query affects {row_count} rows"
        raise RestError(400, "PGRST124", "Query result exceeds max-affected preference constraint", details)


def rows_range(first: int, count: int, total: int | None) -> str:
    """A Content-Range over rows."""
    return f"{f'{first}-{first + count - 1}' if count else '*'}/{'*' if total is None else total}"


def page_status(asked: Asked, first: int, count: int, total: int | None, headers: Mapping[str, str]) -> int:
    """200 or 206.

    Raises: RestError 416 when the page begins behind the last row.
    """
    if total is None:
        return OK
    if first > total:
        details = f"An offset of {first} was requested, but there are only {total} rows."
        told = {"Content-Range": f"*/{total}", "Content-Profile": asked.schema, **headers}
        raise RestError(416, "PGRST103", "Requested range not satisfiable", details, headers=told)
    return PARTIAL if count < total else OK


def content_location(path: str, pairs: Iterable[tuple[str, str]]) -> str:
    """The address of what was read, its parameters in order."""
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(pairs))
    return f"{path}?{query}" if query else path


def location(table: str, key: tuple[str, ...], body: str) -> dict[str, str]:
    """The Location of the one row that was inserted, by its key; nothing for several rows or none."""
    rows: list[dict[str, Any]] = json.loads(body)
    if len(rows) != 1 or not key:
        return {}
    pairs = "&".join(f"{quote(name)}=eq.{quote(str(rows[0][name]), safe='')}" for name in key)
    return {"Location": f"/{quote(table)}?{pairs}"}


def answer(
    asked: Asked, row: asyncpg.Record, status: int, headers: Mapping[str, str], *, shown: bool = True
) -> web.Response:
    """The answer, with its body where it is `shown`; SQL may have set another status and more headers.

    Raises: RestError PGRST111 or PGRST112 when SQL set something else.
    """
    told = CIMultiDict(headers)
    body = row["body"] if shown and status != NO_CONTENT else ""
    if body:
        told["Content-Type"] = asked.shape.content_type
        told["Content-Profile"] = asked.schema
    told.update(_headers_of(row["headers"]))
    sent = None if asked.http.method == "HEAD" else body.encode()
    return web.Response(status=_status_of(row["status"]) or status, headers=told, body=sent)


def _status_of(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) == 3 and is_final(int(text))):  # noqa: PLR2004
        raise RestError(500, "PGRST112", "response.status guc must be a valid status code")
    return int(text)


def _headers_of(text: str | None) -> list[tuple[str, str]]:
    if text is None:
        return []
    problem = RestError(
        500,
        "PGRST111",
        "response.headers guc must be a JSON array composed of objects with a single key and a string value",
    )
    try:
        pairs = [pair for one in json.loads(text) for pair in one.items()]
    except (ValueError, TypeError, AttributeError):
        raise problem from None
    if not all(isinstance(value, str) and is_header(name, value) for name, value in pairs):
        raise problem
    return pairs
