"""The /rest/v1 routes: one request in, one transaction, one answer out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import asyncpg
from aiohttp import hdrs, web

from devstack.auth.bearer import authorization
from devstack.postgres.caller import Caller, Database
from devstack.rest.catalogue import Catalogue
from devstack.rest.errors import RestError, connection_lost, from_postgres, unreachable
from devstack.rest.functions import Functions
from devstack.rest.request import read_request
from devstack.rest.tables import Tables
from devstack.rest.token import caller_of
from devstack.tokens import ProjectKeys

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
PREFIX = "/rest/v1"
# PostgreSQL's words for a cache that is out of date. The transaction was rolled back, so the request may run once more.
STALE = ("42883", "42P01", "42703", "0A000")


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
        schemas: tuple[str, ...] = ("public",),
    ) -> None:
        self._database = database
        self._database_url = database_url
        self._keys = keys
        self._kick = kick
        self._schemas = schemas
        self._catalogue = Catalogue(database)
        self._tables = Tables(database, self._catalogue)
        self._functions = Functions(database, self._catalogue)
        self._listener: Connection | None = None

    def routes(self) -> list[web.AbstractRouteDef]:
        """Everything below /rest/v1."""
        return [web.route(hdrs.METH_ANY, PREFIX + "/{path:.*}", self._handle)]

    async def start(self) -> None:
        """Hear of schema changes from now on."""
        self._listener = await asyncpg.connect(self._database_url)
        await self._listener.add_listener("pgrst", self._schema_changed)

    async def close(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            await self._listener.close()

    def _schema_changed(self, *_message: Any) -> None:
        self._catalogue.forget()
        self._database.forget()

    async def _handle(self, http: web.Request) -> web.StreamResponse:
        role = "anon"
        try:
            caller = caller_of(authorization(http), self._keys)
            role = caller.role
            answer = await self._answer_fresh(http, caller)
        except RestError as error:
            return _error_response(error)
        except asyncpg.PostgresError as error:
            return _error_response(from_postgres(error, role))
        except asyncpg.InterfaceError:
            return _error_response(connection_lost())
        except OSError:  # no server, or no free connection in time
            return _error_response(unreachable())
        if http.method not in ("GET", "HEAD"):
            self._kick()
        return answer

    async def _answer_fresh(self, http: web.Request, caller: Caller) -> web.Response:
        try:
            return await self._answer(http, caller)
        except asyncpg.PostgresError as error:
            if error.sqlstate not in STALE:
                raise
            self._catalogue.forget()
            return await self._answer(http, caller)

    async def _answer(self, http: web.Request, caller: Caller) -> web.Response:
        path = http.match_info["path"]
        asked = read_request(http, caller, f"/{path}", self._schemas)
        match path.strip("/").split("/"):
            case [""]:
                raise RestError(404, "PGRST126", "Root endpoint metadata is disabled")
            case ["rpc", name]:
                return await self._functions.handle(asked, name)
            case [name]:
                return await self._tables.handle(asked, name)
        raise RestError(404, "PGRST125", "Invalid path specified in request URL")


def _error_response(error: RestError) -> web.Response:
    headers = {**error.headers, hdrs.CONTENT_TYPE: "application/json; charset=utf-8"}
    if hdrs.CONTENT_RANGE not in headers:  # a page behind the end is answered like a page
        headers["Proxy-Status"] = f"PostgREST; error={error.code}"
    return web.Response(
        status=error.status, reason=error.reason, headers=headers, body=error.body().encode(errors="replace")
    )
