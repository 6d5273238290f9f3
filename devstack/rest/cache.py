"""The schema cache: reads the catalogue when it is first needed, and again after `notify pgrst`.

As on the real server a change that nobody tells of is not seen. A notice sent before a request is always heard.
"""

from __future__ import annotations

import asyncio
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg

from devstack.postgres.caller import Database
from devstack.rest.catalogue import (
    Argument,
    Catalogue,
    Column,
    ForeignKey,
    Function,
    Name,
    Relationship,
    Table,
    relationships,
)
from devstack.rest.settings import Settings, read_settings

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
CHANNEL = "pgrst"
_HERE = Path(__file__)
TABLES_SQL = _HERE.with_name("tables.sql").read_text(encoding="utf-8")
FUNCTIONS_SQL = _HERE.with_name("functions.sql").read_text(encoding="utf-8")
KEYS_SQL = _HERE.with_name("keys.sql").read_text(encoding="utf-8")
COMPUTED_SQL = _HERE.with_name("computed.sql").read_text(encoding="utf-8")
WRITABLE_BITS = {"update": 4, "insert": 8, "delete": 16}
WHOLE_BODY_TYPES = ("json", "jsonb", "text", "bytea", "xml")


class SchemaCache:
    """Catalogue and settings as they were when they were last read.

    Raises: `start` and `current` raise OSError and asyncpg.PostgresError when the database is not there.
    """

    def __init__(self, database: Database, database_url: str) -> None:
        self._database = database
        self._database_url = database_url
        self._listener: Connection | None = None
        self._asking = asyncio.Lock()
        self._settings: Settings | None = None
        self._catalogue: Catalogue | None = None
        self._notices = 0

    async def start(self) -> None:
        """Hear of changes from now on."""
        self._listener = await asyncpg.connect(self._database_url)
        await self._listener.add_listener(CHANNEL, self._heard)

    async def close(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            await self._listener.close()

    def forget(self) -> None:
        """Read everything again when it is next asked for."""
        self._notices += 1
        self._settings, self._catalogue = None, None
        self._database.forget()

    async def current(self) -> tuple[Settings, Catalogue]:
        """The settings of the authenticator role, and what the exposed schemas hold."""
        await self._listening()
        while self._settings is None or self._catalogue is None:
            notices = self._notices
            settings = self._settings or await read_settings(self._database.pool)
            catalogue = await self._read(list(settings.schemas))
            if notices == self._notices:  # else something changed while it was read
                self._settings, self._catalogue = settings, catalogue
        return self._settings, self._catalogue

    async def changed(self, since: Catalogue) -> bool:
        """Whether a notice arrived since this was read; every notice sent before the question is heard."""
        async with self._asking:
            if self._listener is not None:
                await self._listener.execute("select 1")
        return since is not self._catalogue

    async def knows_timezone(self, name: str) -> bool:
        """Whether PostgreSQL knows a time zone."""
        sql = "select exists (select from pg_catalog.pg_timezone_names where lower(name) = lower($1))"
        return bool(await self._database.pool.fetchval(sql, name))

    async def _listening(self) -> None:
        # After an outage the connection is gone, and with it whatever was told meanwhile.
        if self._listener is None or not self._listener.is_closed():
            return
        async with self._asking:
            if self._listener.is_closed():
                self.forget()
                await self.start()

    def _heard(self, _connection: Any, _process: int, _channel: str, said: object) -> None:
        self._notices += 1
        self._catalogue = None
        if said != "reload schema":
            self._settings = None
        self._database.forget()

    async def _read(self, schemas: list[str]) -> Catalogue:
        async with self._database.pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
            tables = _tables(await connection.fetch(TABLES_SQL, schemas))
            functions = _functions(await connection.fetch(FUNCTIONS_SQL, schemas))
            keys = [_key(row) for row in await connection.fetch(KEYS_SQL, schemas)]
            computed = [_computed(row) for row in await connection.fetch(COMPUTED_SQL, schemas)]
        known = [key for key in keys if key.origin in tables and key.target in tables]
        return Catalogue(tables, functions, relationships(known, computed, tables))


def _tables(rows: list[asyncpg.Record]) -> dict[Name, Table]:
    tables = {}
    for (schema, name, bits), of_table in groupby(rows, lambda row: (row["schema"], row["relation"], row["writable"])):
        columns = [_column(row) for row in of_table if row["name"] is not None]
        writable = frozenset(verb for verb, bit in WRITABLE_BITS.items() if bits & bit)
        tables[schema, name] = Table(schema, name, {column.name: column for column in columns}, writable)
    return tables


def _column(row: asyncpg.Record) -> Column:
    return Column(row["name"], row["type"], row["plain_type"], row["value"], row["is_key"])


def _functions(rows: list[asyncpg.Record]) -> dict[Name, tuple[Function, ...]]:
    functions: dict[Name, tuple[Function, ...]] = {}
    for row in rows:
        function = _function(row)
        unnamed = any(not argument.name for argument in function.arguments)
        if not unnamed or function.unnamed_type in WHOLE_BODY_TYPES:
            at = function.schema, function.name
            functions[at] = (*functions.get(at, ()), function)
    return functions


def _function(row: asyncpg.Record) -> Function:
    names, types, count = row["names"], row["types"], row["arguments"]
    first_optional = count - row["defaults"]
    arguments = tuple(
        Argument(names[i] if i < len(names) else "", types[i], i < first_optional, row["variadic"] and i == count - 1)
        for i in range(count)
    )
    columns = {
        column: Column(column, kind, kind) for column, kind in zip(row["out_names"], row["out_types"], strict=True)
    }
    return Function(
        row["schema"],
        row["name"],
        arguments,
        columns,
        rows_of=(row["row_schema"], row["row_table"]) if row["row_table"] else None,
        is_composite=row["is_composite"],
        is_set=row["is_set"],
        is_void=row["is_void"],
        is_volatile=row["is_volatile"],
        time_limit=row["time_limit"],
    )


def _key(row: asyncpg.Record) -> ForeignKey:
    return ForeignKey(
        row["name"],
        (row["from_schema"], row["from_table"]),
        (row["to_schema"], row["to_table"]),
        tuple(zip(row["from_columns"], row["to_columns"], strict=True)),
        row["is_unique"],
    )


def _computed(row: asyncpg.Record) -> Relationship:
    return Relationship(
        row["name"],
        (row["from_schema"], row["from_table"]),
        (row["to_schema"], row["to_table"]),
        (),
        "many-to-one" if row["is_to_one"] else "one-to-many",
        function=(row["schema"], row["name"]),
    )
