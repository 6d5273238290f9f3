"""What each method does on a table: read, insert, update, put, delete; one transaction each."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import asyncpg
from aiohttp import web

from devstack.postgres.caller import Database, Session
from devstack.rest import answer, statement
from devstack.rest.body import Body, read_body
from devstack.rest.catalogue import Table
from devstack.rest.errors import RestError
from devstack.rest.likeness import most_like
from devstack.rest.media import ARRAY, Shape
from devstack.rest.model import Condition, Field, Item, Query
from devstack.rest.parse import parse_query
from devstack.rest.request import Asked, with_range
from devstack.rest.statement import Statement, Wanted, Written


class Tables:
    """The operations on tables and views."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def handle(self, asked: Asked, name: str) -> web.Response:
        """Answer one request.

        Raises: RestError, asyncpg.PostgresError.
        """
        table = asked.catalogue.table(asked.schema, name)
        if table is None:
            raise _missing(asked, name)
        if asked.http.method == "OPTIONS":
            return web.Response(headers={"Allow": table.allowed, "Access-Control-Allow-Origin": "*"})
        query = with_range(parse_query(asked.parameters), asked.http)
        if asked.is_read:
            return await self._read(asked, table, query)
        operations = {"POST": self._insert, "PUT": self._put, "PATCH": self._update, "DELETE": self._delete}
        if asked.http.method not in operations:
            raise RestError(405, "PGRST117", f"Unsupported HTTP method: {asked.http.method}")
        return await operations[asked.http.method](asked, table, query)

    async def _read(self, asked: Asked, table: Table, query: Query) -> web.Response:
        count = asked.preferences.count
        wanted = _wanted(asked, table, query)
        built = statement.read(wanted, counted=asked.preferences.counts)
        async with asked.transaction(self._database, read_only=True) as connection:
            row = await one_row(connection, built)
            total, most = row["total"], asked.settings.max_rows
            if count == "planned" or (count == "estimated" and most is not None and total > most):
                total = await _estimate(connection, statement.plan(wanted))
        applied = asked.preferences.applied("count", "handling", "timezone")
        headers = {"Content-Location": answer.content_location(asked.path, asked.parameters), **applied}
        status = answer.page_status(asked, query.offset, row["row_count"], total, headers)
        answer.check_single(asked, row["row_count"])
        headers["Content-Range"] = answer.rows_range(query.offset, row["row_count"], total)
        return answer.answer(asked, row, status, headers)

    async def _insert(self, asked: Asked, table: Table, query: Query) -> web.Response:
        body = await read_body(asked.http)
        resolved = ("resolution",) if table.key or query.on_conflict else ()
        applied = asked.preferences.applied(*resolved, "missing", "return", "count", "handling", "timezone")
        written = _written(asked, table, query, body)
        if not _objects(body):
            return _nothing(asked, 201, {"Content-Range": "*/*", **applied})
        # An answer of headers alone needs the key, whatever `select` says.
        headers_only = asked.preferences.returned == "headers-only"
        shape = ARRAY if headers_only else asked.shape
        shown = replace(query, select=tuple(Item(Field(name)) for name in table.key)) if headers_only else query
        row = await self._run(asked, statement.insert(Wanted(asked.scope, table, shown, shape), written))
        total = row["row_count"] if asked.preferences.counts else "*"
        headers = {"Content-Range": f"*/{total}", **applied}
        existed = written.resolution == "merge-duplicates" and row["row_count"] == row["updated"] > 0
        if headers_only:
            headers |= answer.location(table.name, table.key, row["body"])
        return _written_answer(asked, row, 200 if existed else 201, headers)

    async def _put(self, asked: Asked, table: Table, query: Query) -> web.Response:
        _check_put(asked, table, query)
        body = await read_body(asked.http)
        given = _written(asked, table, query, body)
        written = replace(given, resolution="merge-duplicates", matching=True, fill_defaults=False)
        async with asked.transaction(self._database) as connection:
            wanted = _wanted(asked, table, replace(query, on_conflict=None))
            row = await one_row(connection, statement.insert(wanted, written))
            if row["row_count"] != 1:
                raise RestError(400, "PGRST115", "Payload values do not match URL in primary key column(s)")
        applied = asked.preferences.applied("return", "count", "handling", "timezone")
        shown = asked.preferences.returned == "representation"
        return _written_answer(asked, row, 201 if shown and not row["updated"] else _status(asked), applied)

    async def _update(self, asked: Asked, table: Table, query: Query) -> web.Response:
        body = await read_body(asked.http)
        written = _written(asked, table, query, body)
        applied = asked.preferences.applied("missing", "return", "count", "handling", "timezone", "max-affected")
        if not written.columns:
            return _nothing(asked, _status(asked), {"Content-Range": "*/*", **applied})
        _check_filtered(query, "UPDATE")
        row = await self._run(asked, statement.update(_wanted(asked, table, query), written))
        total = row["row_count"] if asked.preferences.counts else None
        headers = {"Content-Range": answer.rows_range(0, row["row_count"], total), **applied}
        return _written_answer(asked, row, _status(asked), headers)

    async def _delete(self, asked: Asked, table: Table, query: Query) -> web.Response:
        _check_filtered(query, "DELETE")
        written = Written(returned=_returned(asked, table, query))
        row = await self._run(asked, statement.delete(_wanted(asked, table, query), written))
        total = row["row_count"] if asked.preferences.counts else "*"
        applied = asked.preferences.applied("return", "count", "handling", "timezone", "max-affected")
        return _written_answer(asked, row, _status(asked), {"Content-Range": f"*/{total}", **applied})

    async def _run(self, asked: Asked, built: Statement) -> asyncpg.Record:
        async with asked.transaction(self._database) as connection:
            row = await one_row(connection, built)
            answer.check_single(asked, row["row_count"])
            if asked.http.method != "POST":
                answer.check_max_affected(asked, row["row_count"])
        return row


async def one_row(connection: Session, built: Statement) -> asyncpg.Record:
    """Run a statement that gives exactly one row."""
    row = await connection.fetchrow(built.sql, *built.parameters)
    if row is None:
        raise AssertionError("an aggregate always gives a row")
    return row


async def _estimate(connection: Session, built: Statement) -> int:
    text = await connection.fetchval(built.sql, *built.parameters)
    return int(json.loads(text)[0]["Plan"]["Plan Rows"])


def _wanted(asked: Asked, table: Table, query: Query) -> Wanted:
    return Wanted(asked.scope, table, query, asked.shape)


def _missing(asked: Asked, name: str) -> RestError:
    names = [table for schema, table in asked.catalogue.tables if schema == asked.schema]
    meant = most_like(name, names)
    hint = None if meant is None else f"Perhaps you meant the table '{asked.schema}.{meant}'"
    message = f"Could not find the table '{asked.schema}.{name}' in the schema cache"
    return RestError(404, "PGRST205", message, hint=hint)


def _check_put(asked: Asked, table: Table, query: Query) -> None:
    if "limit" in asked.http.query or "offset" in asked.http.query:
        raise RestError(400, "PGRST114", "limit/offset querystring parameters are not allowed for PUT")
    named = [
        one.field.name
        for one in query.filters
        if isinstance(one, Condition) and (one.operator, one.negated, one.quantifier) == ("eq", False, None)
    ]
    if not table.key or len(named) != len(query.filters) or set(named) != set(table.key):
        message = "Filters must include all and only primary key columns with 'eq' operators"
        raise RestError(405, "PGRST105", message)


def _check_filtered(query: Query, verb: str) -> None:
    """As safeupdate, which a hosted project loads for every request.

    Raises: RestError 21000.
    """
    if not query.filters:
        raise RestError(400, "21000", f"{verb} requires a WHERE clause")


def _written(asked: Asked, table: Table, query: Query, body: Body) -> Written:
    objects = _objects(body)
    columns = query.columns or tuple(objects[0] if objects else ())
    if query.columns is None and any(one.keys() != objects[0].keys() for one in objects):
        raise RestError(400, "PGRST102", "All object keys must match")
    unknown = next((name for name in columns if name not in table.columns), None)
    if unknown is not None:
        message = f"Could not find the '{unknown}' column of '{table.name}' in the schema cache"
        raise RestError(400, "PGRST204", message)
    return Written(
        body=body.text if isinstance(body.value, list) else f"[{body.text}]",
        columns=columns,
        returned=_returned(asked, table, query),
        resolution=asked.preferences.values.get("resolution") if asked.http.method == "POST" else None,
        fill_defaults=asked.preferences.values.get("missing") == "default",
    )


def _objects(body: Body) -> list[dict[str, Any]]:
    objects = body.value if isinstance(body.value, list) else [body.value]
    if not all(isinstance(one, dict) for one in objects):
        raise RestError(400, "PGRST102", "Empty or invalid json")
    return objects


def _returned(asked: Asked, table: Table, query: Query) -> tuple[str, ...]:
    if asked.preferences.returned == "representation":
        return statement.returned(_wanted(asked, table, query))
    return table.key if asked.preferences.returned == "headers-only" and asked.http.method == "POST" else ()


def _status(asked: Asked) -> int:
    return 200 if asked.preferences.returned == "representation" else 204


def _nothing(asked: Asked, status: int, headers: dict[str, str]) -> web.Response:
    """The answer to a write of no rows, which is not sent to the database."""
    if asked.preferences.returned != "representation":
        return web.Response(status=status, headers=headers)
    told = {**headers, "Content-Type": Shape("array").content_type, "Content-Profile": asked.schema}
    return web.Response(status=status, headers=told, body=b"[]")


def _written_answer(asked: Asked, row: asyncpg.Record, status: int, headers: dict[str, str]) -> web.Response:
    shown = asked.preferences.returned == "representation"
    return answer.answer(asked, row, status, headers, shown=shown)
