"""Reads an HTTP request into what the statements need: schema, preferences, body, shape of the answer."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import hdrs, web

from devstack.postgres.caller import Caller
from devstack.rest.errors import RestError
from devstack.rest.model import Query
from devstack.rest.prefer import Preferences, parse_prefer

ARRAY_TYPES = ("*/*", "application/*", "application/json", "application/vnd.pgrst.array+json")
OBJECT_TYPE = "application/vnd.pgrst.object+json"
BODY_TYPES = ("application/json", "application/vnd.pgrst.object+json", "application/vnd.pgrst.array+json")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request after everything but its query was read."""

    http: web.Request
    caller: Caller
    path: str
    schema: str
    preferences: Preferences
    wants_object: bool

    @property
    def is_read(self) -> bool:
        """Whether the method may change nothing."""
        return self.http.method in ("GET", "HEAD")

    def settings(self) -> dict[str, str]:
        """What the SQL may ask about the request; names are PostgREST's."""
        headers = {name.lower(): value for name, value in self.http.headers.items()}
        settings = {
            "search_path": f'"{self.schema}", "public", "extensions"',
            "request.method": self.http.method,
            "request.path": self.path,
            "request.headers": json.dumps(headers),
            "request.cookies": json.dumps(dict(self.http.cookies)),
        }
        timezone = self.preferences.values.get("timezone")
        return settings | ({"timezone": timezone} if timezone else {})


def read_request(http: web.Request, caller: Caller, path: str, schemas: tuple[str, ...]) -> Asked:
    """Check profile, Prefer and Accept.

    Raises: RestError.
    """
    header = "Accept-Profile" if http.method in ("GET", "HEAD") else "Content-Profile"
    schema = http.headers.get(header, schemas[0])
    if schema not in schemas:
        hint = f"Only the following schemas are exposed: {', '.join(schemas)}"
        raise RestError(406, "PGRST106", f"Invalid schema: {schema}", hint=hint)
    preferences = parse_prefer(http.headers.getall("Prefer", []))
    return Asked(http, caller, path, schema, preferences, _wants_object(http.headers.get(hdrs.ACCEPT, "*/*")))


def with_range(query: Query, http: web.Request) -> Query:
    """Apply the Range header, which counts rows; `limit` and `offset` in the URL count more."""
    found = re.fullmatch(r"(?:items=)?([0-9]+)-([0-9]*)", http.headers.get(hdrs.RANGE, "").strip())
    if found is None or query.limit is not None or query.offset or http.method not in ("GET", "HEAD"):
        return query
    first, last = int(found[1]), found[2]
    if last and int(last) < first:
        details = "The lower boundary must be lower than or equal to the upper boundary in the Range header."
        raise RestError(416, "PGRST103", "Requested range not satisfiable", details)
    return replace(query, offset=first, limit=int(last) - first + 1 if last else None)


async def json_body(http: web.Request, *, empty: str | None = None) -> tuple[str, Any]:
    """The body as text and parsed; `empty` stands in for no body at all.

    Raises: RestError PGRST102.
    """
    kind = http.headers.get(hdrs.CONTENT_TYPE, "application/json").partition(";")[0].strip().lower()
    raw = await http.read()
    if not raw and empty is not None:
        return empty, json.loads(empty)
    if kind not in BODY_TYPES:
        raise RestError(400, "PGRST102", f"Content-Type not acceptable: {kind}")
    try:
        text = raw.decode("utf-8")
        return text, json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise RestError(400, "PGRST102", "Empty or invalid json") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _wants_object(accept: str) -> bool:
    kinds = [part.strip() for part in accept.split(",")]
    for kind in kinds:
        name = kind.partition(";")[0].strip().lower()
        if name == OBJECT_TYPE and "nulls=stripped" not in kind:
            return True
        if name in ARRAY_TYPES and "nulls=stripped" not in kind:
            return False
    raise RestError(406, "PGRST107", f"None of these media types are available: {', '.join(kinds)}")
