"""Reads an HTTP request into what the statements need: schema, preferences, body, shape of the answer."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from aiohttp import hdrs, web

from devstack.postgres.caller import Caller, Database, Session
from devstack.rest.cache import SchemaCache
from devstack.rest.catalogue import Catalogue
from devstack.rest.embedding import Scope
from devstack.rest.errors import RestError
from devstack.rest.media import Shape, shape_of
from devstack.rest.model import Query
from devstack.rest.prefer import Preferences, parse_prefer
from devstack.rest.render import identifier
from devstack.rest.settings import Settings


@dataclass(frozen=True, slots=True)
class Asked:
    """One request after everything but its query was read, and the catalogue it is answered by."""

    http: web.Request
    caller: Caller
    path: str
    schema: str
    preferences: Preferences
    shape: Shape
    settings: Settings
    catalogue: Catalogue

    @property
    def is_read(self) -> bool:
        """Whether the method may change nothing."""
        return self.http.method in ("GET", "HEAD")

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """The query string, without the key that the gateway keeps to itself."""
        return [(name, value) for name, value in self.http.query.items() if name != "apikey"]

    @property
    def scope(self) -> Scope:
        """Where related tables are looked up."""
        return Scope(self.catalogue, self.schema, self.settings.max_rows)

    @asynccontextmanager
    async def transaction(
        self, database: Database, *, read_only: bool = False, time_limit: str | None = None
    ) -> AsyncIterator[Session]:
        """One transaction as the caller, in which SQL can ask about the request; `time_limit` replaces the role's."""
        known = self._known_to_sql() | ({"statement_timeout": time_limit} if time_limit else {})
        async with database.acting_as(self.caller, known, read_only=read_only) as connection:
            if self.settings.pre_request:
                name = ".".join(identifier(part) for part in self.settings.pre_request.split("."))
                await connection.execute(f"select {name}()")
            yield connection

    def _known_to_sql(self) -> dict[str, str]:
        """Names are PostgREST's."""
        path = (self.schema, *self.settings.extra_search_path)
        headers = {name.lower(): value for name, value in self.http.headers.items()}
        known = {
            "search_path": ", ".join(identifier(name) for name in path),
            "request.method": self.http.method,
            "request.path": self.path,
            "request.headers": json.dumps(headers),
            "request.cookies": json.dumps(dict(self.http.cookies)),
        }
        return known | ({"timezone": self.preferences.timezone} if self.preferences.timezone else {})


async def read_request(http: web.Request, caller: Caller, path: str, cache: SchemaCache) -> Asked:
    """Check profile, Prefer and Accept.

    Raises: RestError.
    """
    settings, catalogue = await cache.current()
    header = "Accept-Profile" if http.method in ("GET", "HEAD") else "Content-Profile"
    schema = http.headers.get(header, settings.schemas[0])
    if schema not in settings.schemas:
        hint = f"Only the following schemas are exposed: {', '.join(settings.schemas)}"
        raise RestError(406, "PGRST106", f"Invalid schema: {schema}", hint=hint)
    preferences = parse_prefer(http.headers.getall("Prefer", []))
    if preferences.timezone is not None and not await cache.knows_timezone(preferences.timezone):
        preferences = preferences.without_timezone()
    preferences.check()
    shape = shape_of(http.headers.get(hdrs.ACCEPT, "*/*"))
    return Asked(http, caller, path, schema, preferences, shape, settings, catalogue)


def with_range(query: Query, http: web.Request) -> Query:
    """Apply the Range header, which counts rows; `limit` and `offset` in the URL count more."""
    found = re.fullmatch(r"(?:items=)?([0-9]+)-([0-9]*)", http.headers.get(hdrs.RANGE, "").strip())
    if found is None or query.limit is not None or query.offset or http.method not in ("GET", "HEAD"):
        return query
    try:
        first, last = int(found[1]), int(found[2]) if found[2] else None
    except ValueError:  # thousands of digits
        return query
    if last is not None and last < first:
        details = "The lower boundary must be lower than or equal to the upper boundary in the Range header."
        raise RestError(416, "PGRST103", "Requested range not satisfiable", details)
    return replace(query, offset=first, limit=None if last is None else last - first + 1)
