"""Runs SQL as the caller, with what policies may ask of the request: method, path, headers and Storage's operation.

Knows nothing of which statements run.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar

from aiohttp import web

from devstack.postgres.caller import Caller, Database, Session

_request: ContextVar[Mapping[str, str] | None] = ContextVar("storage_request", default=None)


def note_request(http: web.Request, operation: str, prefix: str) -> None:
    """Remember for this task what the transactions of this request are to know."""
    headers = {name.lower(): value for name, value in http.headers.items()}
    _request.set(
        {
            "request.method": http.method,
            "request.path": http.rel_url.raw_path.removeprefix(prefix),
            "request.headers": json.dumps(headers),
            "storage.operation": f"storage.{operation}",
            # Deleting rows is refused elsewhere: their bytes would stay.
            "storage.allow_delete_query": "true",
        }
    )


@asynccontextmanager
async def acting(database: Database, caller: Caller, *, read_only: bool = False) -> AsyncIterator[Session]:
    """One transaction as the caller.

    Raises: asyncpg.PostgresError, OSError.
    """
    async with database.acting_as(caller, _request.get() or {}, read_only=read_only) as connection:
        yield connection


class _TriedError(Exception):
    """Ends a transaction that was only to show that it would have worked."""


@asynccontextmanager
async def trying(database: Database, caller: Caller) -> AsyncIterator[Session]:
    """A transaction as the caller that is rolled back in any case: whether he may is all that is asked.

    Raises: asyncpg.PostgresError, OSError.
    """
    try:
        async with acting(database, caller) as connection:
            yield connection
            raise _TriedError
    except _TriedError:
        pass
