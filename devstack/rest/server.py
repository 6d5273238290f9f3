"""The /rest/v1 routes: one request in, one transaction, one answer out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncpg
from aiohttp import hdrs, web

from devstack.auth.bearer import authorization
from devstack.postgres.caller import Caller, Database
from devstack.rest.cache import SchemaCache
from devstack.rest.catalogue import Catalogue
from devstack.rest.errors import (
    RestError,
    cache_unreadable,
    connection_lost,
    from_postgres,
    none_free,
    too_deep,
    unreachable,
)
from devstack.rest.functions import Functions
from devstack.rest.request import read_request
from devstack.rest.tables import Tables
from devstack.rest.token import caller_of
from devstack.tokens import ProjectKeys

PREFIX = "/rest/v1"
EXPOSED = (
    "Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Location, Server,"
    " Transfer-Encoding, Range-Unit"
)
# What a catalogue that is out of date leads to, PostgREST's words and PostgreSQL's. Nothing was written by then, so the
# request may run once more when the catalogue has changed.
STALE = ("PGRST106", "PGRST200", "PGRST202", "PGRST203", "PGRST204", "PGRST205", "42883", "42P01", "42703", "0A000")
# What the real server runs again, however often, as long as somebody waits for it.
RETRIED = ("40001", "40P01")


class RestServer:
    """PostgREST's part of the stack.

    Raises: `start` raises what asyncpg does when the database is not there.
    """

    def __init__(
        self,
        database: Database,
        database_url: str,
        keys: ProjectKeys,
        kick: Callable[[], None],
    ) -> None:
        self._keys = keys
        self._kick = kick
        self._cache = SchemaCache(database, database_url)
        self._tables = Tables(database)
        self._functions = Functions(database)

    def routes(self) -> list[web.AbstractRouteDef]:
        """Everything below /rest/v1."""
        return [web.route(hdrs.METH_ANY, PREFIX + "/{path:(?s:.*)}", self._handle)]

    async def start(self) -> None:
        """Hear of schema changes from now on."""
        await self._cache.start()

    async def close(self) -> None:
        """Stop listening."""
        await self._cache.close()

    async def _handle(self, http: web.Request) -> web.StreamResponse:
        answer = await self._answered(http)
        if hdrs.ORIGIN in http.headers:
            answer.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED
        return answer

    async def _answered(self, http: web.Request) -> web.StreamResponse:
        role = "anon"
        try:
            caller = caller_of(authorization(http), self._keys)
            role = caller.role
            answer = await self._answer_fresh(http, caller)
        except RestError as error:
            return _error_response(error)
        except asyncpg.PostgresError as error:
            return _error_response(from_postgres(error, role))
        except (asyncpg.InterfaceError, asyncpg.InternalClientError):
            return _error_response(connection_lost())
        except TimeoutError:
            return _error_response(none_free())
        except OSError:
            return _error_response(unreachable())
        if http.method not in ("GET", "HEAD", "OPTIONS"):
            self._kick()
        return answer

    async def _answer_fresh(self, http: web.Request, caller: Caller) -> web.Response:
        catalogue = await self._known()
        try:
            return await self._answer_at_last(http, caller)
        except RecursionError:
            raise too_deep() from None
        except (RestError, asyncpg.PostgresError) as error:
            if _code(error) not in STALE or not await self._cache.changed(catalogue):
                raise
            return await self._answer_at_last(http, caller)

    async def _known(self) -> Catalogue:
        try:
            return (await self._cache.current())[1]
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            raise cache_unreadable() from None

    async def _answer_at_last(self, http: web.Request, caller: Caller) -> web.Response:
        while True:
            try:
                return await self._answer(http, caller)
            except asyncpg.PostgresError as error:
                if error.sqlstate not in RETRIED or http.transport is None or http.transport.is_closing():
                    raise
                await asyncio.sleep(0)

    async def _answer(self, http: web.Request, caller: Caller) -> web.Response:
        path = http.match_info["path"]
        asked = await read_request(http, caller, f"/{path}", self._cache)
        match path.strip("/").split("/"):
            case [""]:
                raise RestError(404, "PGRST126", "Root endpoint metadata is disabled")
            case ["rpc", name]:
                return await self._functions.handle(asked, name)
            case [name]:
                return await self._tables.handle(asked, name)
        raise RestError(404, "PGRST125", "Invalid path specified in request URL")


def _code(error: RestError | asyncpg.PostgresError) -> str | None:
    return error.code if isinstance(error, RestError) else error.sqlstate


def _error_response(error: RestError) -> web.Response:
    headers = {**error.headers, hdrs.CONTENT_TYPE: "application/json; charset=utf-8"}
    if hdrs.CONTENT_RANGE not in headers:  # a page behind the end is answered like a page
        headers["Proxy-Status"] = f"PostgREST; error={error.code}"
    return web.Response(
        status=error.status, reason=error.reason, headers=headers, body=error.body().encode(errors="replace")
    )
