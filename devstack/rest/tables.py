"""What each method does on a table: read, insert, update, delete; one transaction each."""

from __future__ import annotations

import json
from typing import Any

import asyncpg
from aiohttp import web

from devstack.postgres.caller import Database
from devstack.rest import answer, statement
from devstack.rest.catalogue import Catalogue, Table
from devstack.rest.errors import RestError
from devstack.rest.model import Field, Item, Query
from devstack.rest.parse import parse_query
from devstack.rest.request import Asked, json_body, with_range
from devstack.rest.statement import Statement, Written


class Tables:
    """The operations on tables and views."""

    def __init__(self, database: Database, catalogue: Catalogue) -> None:
        self._database = database
        self._catalogue = catalogue

    async def handle(self, asked: Asked, name: str) -> web.Response:
        """Answer one request.

        Raises: RestError, asyncpg.PostgresError.
        """
        table = await self._catalogue.table(asked.schema, name)
        if table is None:
            raise RestError(404, "PGRST205", f"Could not find the table '{asked.schema}.{name}' in the schema cache")
        query = with_range(parse_query(asked.http.query.items()), asked.http)
        if asked.is_read:
            return await self._read(asked, table, query)
        operations = {"POST": self._insert, "PATCH": self._update, "DELETE": self._delete}
        if asked.http.method not in operations:
            raise RestError(405, "PGRST117", f"Unsupported HTTP method: {asked.http.method}")
        if asked.http.method != "POST" and (query.limit is not None or query.offset):
            raise RestError(400, "PGRST100", "limit and offset do not apply to updates and deletes")
        return await operations[asked.http.method](asked, table, query)

    async def _read(self, asked: Asked, table: Table, query: Query) -> web.Response:
        count = asked.preferences.count
        counted = count in ("exact", "estimated")
        built = statement.read(table, query, counted=counted, one=asked.wants_object)
        async with self._database.acting_as(asked.caller, asked.settings(), read_only=True) as connection:
            row = await one_row(connection, built)
            total = row["total"]
            if count == "planned" or (total is not None and count == "estimated" and total > statement.MAX_ROWS):
                total = await _estimate(connection, statement.plan(table, query))
        applied = asked.preferences.applied("count", "handling", "timezone")
        headers = {"Content-Location": answer.content_location(asked.path, asked.http.query.items()), **applied}
        status = answer.page_status(asked, query.offset, row["row_count"], total, headers)
        answer.check_single(asked, row["row_count"])
        headers["Content-Range"] = answer.rows_range(query.offset, row["row_count"], total)
        return answer.answer(asked, row, status, headers)

    async def _insert(self, asked: Asked, table: Table, query: Query) -> web.Response:
        text, body = await json_body(asked.http)
        objects = _objects(body)
        written = await self._written(asked, table, query, objects, text if isinstance(body, list) else f"[{text}]")
        applied = asked.preferences.applied("resolution", "missing", "return", "count", "handling", "timezone")
        if not objects:
            return _nothing(asked, 201, {"Content-Range": "*/*", **applied})
        row = await self._run(asked, statement.insert(table, query, written))
        total = row["row_count"] if asked.preferences.count == "exact" else "*"
        headers = {"Content-Range": f"*/{total}", **applied}
        existed = written.resolution == "merge-duplicates" and row["row_count"] == row["updated"] > 0
        if asked.preferences.returned == "headers-only":
            headers |= answer.location(table.name, table.key, row["body"])
        return _written_answer(asked, row, 200 if existed else 201, headers)

    async def _update(self, asked: Asked, table: Table, query: Query) -> web.Response:
        text, body = await json_body(asked.http)
        objects = _objects(body)
        written = await self._written(asked, table, query, objects, text if isinstance(body, list) else f"[{text}]")
        applied = asked.preferences.applied("return", "count", "handling", "timezone", "max-affected")
        if not written.columns:
            return _nothing(asked, _status(asked), {"Content-Range": "*/*", **applied})
        row = await self._run(asked, statement.update(table, query, written))
        total = row["row_count"] if asked.preferences.count == "exact" else None
        headers = {"Content-Range": answer.rows_range(0, row["row_count"], total), **applied}
        return _written_answer(asked, row, _status(asked), headers)

    async def _delete(self, asked: Asked, table: Table, query: Query) -> web.Response:
        written = Written(returned=_returned(asked, table, query), one=asked.wants_object)
        row = await self._run(asked, statement.delete(table, query, written))
        total = row["row_count"] if asked.preferences.count == "exact" else "*"
        applied = asked.preferences.applied("return", "count", "handling", "timezone", "max-affected")
        return _written_answer(asked, row, _status(asked), {"Content-Range": f"*/{total}", **applied})

    async def _run(self, asked: Asked, built: Statement) -> asyncpg.Record:
        async with self._database.acting_as(asked.caller, asked.settings()) as connection:
            row = await one_row(connection, built)
            answer.check_single(asked, row["row_count"])
            if asked.http.method != "POST":
                answer.check_max_affected(asked, row["row_count"])
        return row

    async def _written(
        self, asked: Asked, table: Table, query: Query, objects: list[dict[str, Any]], text: str
    ) -> Written:
        columns = query.columns or tuple(objects[0] if objects else ())
        if query.columns is None and any(one.keys() != objects[0].keys() for one in objects):
            raise RestError(400, "PGRST102", "All object keys must match")
        unknown = next((name for name in columns if name not in table.columns), None)
        if unknown is not None:
            self._catalogue.forget()  # a column made a moment ago may still be missing
            fresh = await self._catalogue.table(table.schema, table.name)
            if fresh is None or unknown not in fresh.columns:
                message = f"Could not find the '{unknown}' column of '{table.name}' in the schema cache"
                raise RestError(400, "PGRST204", message)
            table.columns.update(fresh.columns)
            return await self._written(asked, table, query, objects, text)
        return Written(
            body=text,
            columns=columns,
            returned=_returned(asked, table, query),
            resolution=asked.preferences.values.get("resolution") if asked.http.method == "POST" else None,
            fill_defaults=asked.preferences.values.get("missing") == "default",
            one=asked.wants_object,
        )


async def one_row(connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record], built: Statement) -> asyncpg.Record:
    """Run a statement that gives exactly one row."""
    row = await connection.fetchrow(built.sql, *built.parameters)
    if row is None:
        raise AssertionError("an aggregate always gives a row")
    return row


async def _estimate(connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record], built: Statement) -> int:
    text = await connection.fetchval(built.sql, *built.parameters)
    return int(json.loads(text)[0]["Plan"]["Plan Rows"])


def _objects(body: Any) -> list[dict[str, Any]]:
    objects = body if isinstance(body, list) else [body]
    if not all(isinstance(one, dict) for one in objects):
        raise RestError(400, "PGRST102", "Empty or invalid json")
    return objects


def _returned(asked: Asked, table: Table, query: Query) -> tuple[Item, ...]:
    returned = asked.preferences.returned
    if returned == "representation":
        return query.select
    return tuple(Item(Field(name)) for name in table.key) if returned == "headers-only" else ()


def _status(asked: Asked) -> int:
    return 200 if asked.preferences.returned == "representation" else 204


def _nothing(asked: Asked, status: int, headers: dict[str, str]) -> web.Response:
    """The answer to a write of no rows, which is not sent to the database."""
    if asked.preferences.returned != "representation":
        return web.Response(status=status, headers=headers)
    told = {**headers, "Content-Type": "application/json; charset=utf-8", "Content-Profile": asked.schema}
    return web.Response(status=status, headers=told, body=b"[]")


def _written_answer(asked: Asked, row: asyncpg.Record, status: int, headers: dict[str, str]) -> web.Response:
    shown = asked.preferences.returned == "representation"
    return answer.answer(asked, row, status, headers, shown=shown)
