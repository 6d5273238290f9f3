"""What an rpc does: finds the function, calls it, answers in the shape of what it returns."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from devstack.postgres.caller import Database
from devstack.rest import answer
from devstack.rest.call import call, choose
from devstack.rest.catalogue import Catalogue, Function
from devstack.rest.errors import RestError
from devstack.rest.parse import RESERVED, parse_query
from devstack.rest.request import Asked, json_body, with_range
from devstack.rest.tables import one_row


class Functions:
    """The operations on functions."""

    def __init__(self, database: Database, catalogue: Catalogue) -> None:
        self._database = database
        self._catalogue = catalogue

    async def handle(self, asked: Asked, name: str) -> web.Response:
        """Answer one call.

        Raises: RestError, asyncpg.PostgresError.
        """
        if asked.is_read:
            function, given, body = await self._by_query(asked, name)
        elif asked.http.method == "POST":
            function, given, body = await self._by_body(asked, name)
        else:
            raise RestError(405, "PGRST101", f"Cannot use the {asked.http.method} method on RPC")
        arguments = given if asked.is_read else frozenset[str]()
        query = with_range(parse_query(asked.http.query.items(), arguments), asked.http)
        counted = asked.preferences.count is not None
        built = call(function, query, body, given, counted=counted, one=asked.wants_object)
        # The real server trusts the declared volatility: a stable function cannot write, not even by POST.
        read_only = asked.is_read or not function.is_volatile
        async with self._database.acting_as(asked.caller, asked.settings(), read_only=read_only) as connection:
            row = await one_row(connection, built)
            if function.is_set:
                answer.check_single(asked, row["row_count"])
            answer.check_max_affected(asked, row["row_count"])
        headers = asked.preferences.applied("count", "handling", "timezone", "max-affected")
        status = answer.page_status(asked, query.offset, row["row_count"], row["total"], headers)
        headers["Content-Range"] = answer.rows_range(query.offset, row["row_count"], row["total"])
        return answer.answer(asked, row, answer.NO_CONTENT if function.is_void else status, headers)

    async def _by_query(self, asked: Asked, name: str) -> tuple[Function, frozenset[str], str]:
        overloads = await self._catalogue.functions(asked.schema, name)
        known = {argument.name for one in overloads for argument in one.arguments}
        sent = [(key, value) for key, value in asked.http.query.items() if key not in RESERVED]
        # What is no argument but looks like a filter is one; anything else makes the function unknown.
        given = frozenset(key for key, value in sent if key in known or "." not in value)
        function = await choose(self._catalogue, asked.schema, name, given, has_body=False)
        return function, given, json.dumps({key: value for key, value in sent if key in given})

    async def _by_body(self, asked: Asked, name: str) -> tuple[Function, frozenset[str], str]:
        text, body = await json_body(asked.http, empty="{}")
        given = _argument_names(body)
        function = await choose(self._catalogue, asked.schema, name, given, has_body=True)
        if not isinstance(body, dict) and not function.takes_whole_body:
            raise RestError(400, "PGRST102", "Empty or invalid json")
        return function, given, text


def _argument_names(body: Any) -> frozenset[str]:
    return frozenset(body) if isinstance(body, dict) else frozenset()
