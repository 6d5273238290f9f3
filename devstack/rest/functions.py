"""What an rpc does: finds the function, calls it, answers in the shape of what it returns."""

from __future__ import annotations

import json
from dataclasses import replace

from aiohttp import web

from devstack.postgres.caller import Database
from devstack.rest import answer
from devstack.rest.body import Body, read_body
from devstack.rest.call import Call, call
from devstack.rest.errors import RestError
from devstack.rest.overload import choose
from devstack.rest.parse import parse_query
from devstack.rest.request import Asked, with_range
from devstack.rest.tables import one_row


class Functions:
    """The operations on functions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def handle(self, asked: Asked, name: str) -> web.Response:
        """Answer one call.

        Raises: RestError, asyncpg.PostgresError.
        """
        if asked.http.method == "OPTIONS":
            return web.Response(headers={"Allow": _allowed(asked, name), "Access-Control-Allow-Origin": "*"})
        if asked.is_read:
            meant = _by_query(asked, name)
        elif asked.http.method == "POST":
            meant = await _by_body(asked, name)
        else:
            raise RestError(405, "PGRST101", f"Cannot use the {asked.http.method} method on RPC")
        return await self._call(asked, meant)

    async def _call(self, asked: Asked, meant: Call) -> web.Response:
        function, query = meant.function, with_range(meant.query, asked.http)
        if asked.preferences.max_affected is not None and not function.is_set:
            message = "Function must return SETOF or TABLE when max-affected preference is used with handling=strict"
            raise RestError(400, "PGRST128", message)
        built = call(asked.scope, replace(meant, query=query), asked.shape, counted=asked.preferences.counts)
        # The real server trusts the declared volatility: a stable function cannot write, not even by POST.
        read_only = asked.is_read or not function.is_volatile
        limit = function.time_limit
        async with asked.transaction(self._database, read_only=read_only, time_limit=limit) as connection:
            row = await one_row(connection, built)
            if function.is_set:
                answer.check_single(asked, row["row_count"])
            answer.check_max_affected(asked, row["row_count"])
        headers = asked.preferences.applied("count", "handling", "timezone", "max-affected")
        status = answer.page_status(asked, query.offset, row["row_count"], row["total"], headers)
        headers["Content-Range"] = answer.rows_range(query.offset, row["row_count"], row["total"])
        return answer.answer(asked, row, answer.NO_CONTENT if function.is_void else status, headers)


def _allowed(asked: Asked, name: str) -> str:
    overloads = asked.catalogue.overloads(asked.schema, name)
    return "OPTIONS,POST" if any(one.is_volatile for one in overloads) else "OPTIONS,GET,HEAD,POST"


def _by_query(asked: Asked, name: str) -> Call:
    """Parameters that are no filters are arguments; a variadic one takes all of its name."""
    query = parse_query(asked.parameters, arguments=True)
    given = frozenset(key for key, _ in query.arguments)
    function = choose(asked, name, given, None)
    variadic = {argument.name for argument in function.arguments if argument.variadic}
    values: dict[str, str | list[str]] = dict(query.arguments)
    for key in given & variadic:
        values[key] = [value for one, value in query.arguments if one == key]
    return Call(function, given, Body(json.dumps(values), values), query)


async def _by_body(asked: Asked, name: str) -> Call:
    body = await read_body(asked.http, for_function=True)
    query = parse_query(asked.parameters)
    given = frozenset(query.columns) if query.columns is not None else body.names
    function = choose(asked, name, given, body)
    if function.unnamed_type is None and not isinstance(body.value, dict | list):
        raise RestError(400, "PGRST102", "Empty or invalid json")
    return Call(function, given, body, query)
