"""What the exposed schemas hold: tables with columns, functions with arguments; kept until the schema changes.

Everything is read when first asked for, and forgotten on `notify pgrst` (the DDL trigger of the bootstrap sends it).
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from devstack.postgres.caller import Database

TABLE_SQL = Path(__file__).with_name("table.sql").read_text(encoding="utf-8")
FUNCTION_SQL = Path(__file__).with_name("function.sql").read_text(encoding="utf-8")
FUNCTION_NAMES = """
select distinct proname::text from pg_catalog.pg_proc where pronamespace = to_regnamespace(quote_ident($1)) order by 1
"""
# Below these likenesses PostgREST's hints are silent, as far as its recorded hints tell.
NAME_LIKENESS = 0.6
ARGUMENTS_LIKENESS = 0.4


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `plain_type` has no length, so that a filter's value is never cut to it."""

    name: str
    type: str
    plain_type: str
    default: str | None = None
    is_key: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view that requests may name."""

    schema: str
    name: str
    columns: dict[str, Column]

    @property
    def key(self) -> tuple[str, ...]:
        """The primary key's columns."""
        return tuple(column.name for column in self.columns.values() if column.is_key)


@dataclass(frozen=True, slots=True)
class Argument:
    """One input of a function; the name is empty where the function has none."""

    name: str
    type: str
    required: bool
    variadic: bool


@dataclass(frozen=True, slots=True)
class Function:
    """One overload."""

    schema: str
    name: str
    arguments: tuple[Argument, ...]
    columns: dict[str, Column]
    is_composite: bool
    is_set: bool
    is_void: bool
    is_volatile: bool

    def accepts(self, names: frozenset[str]) -> bool:
        """Whether a call with these argument names fits."""
        known = {argument.name for argument in self.arguments}
        required = {argument.name for argument in self.arguments if argument.required}
        return required <= names <= known

    @property
    def takes_whole_body(self) -> bool:
        """Whether its only argument is an unnamed json or jsonb."""
        return len(self.arguments) == 1 and self.arguments[0].name == "" and self.arguments[0].type in ("json", "jsonb")


class Catalogue:
    """The schema cache."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tables: dict[tuple[str, str], Table] = {}
        self._functions: dict[tuple[str, str], tuple[Function, ...]] = {}

    def forget(self) -> None:
        """Read everything again when it is next asked for."""
        self._tables.clear()
        self._functions.clear()

    async def table(self, schema: str, name: str) -> Table | None:
        """The table, or None when there is none of that name."""
        found = self._tables.get((schema, name))
        if found is None:
            rows = await self._database.pool.fetch(TABLE_SQL, schema, name)
            if not rows:
                return None
            columns = [_column(row) for row in rows if row["name"] is not None]
            found = Table(schema, name, {column.name: column for column in columns})
            self._tables[schema, name] = found
        return found

    async def functions(self, schema: str, name: str) -> tuple[Function, ...]:
        """All overloads of a name; an empty tuple when there are none."""
        found = self._functions.get((schema, name))
        if found is None:
            rows = await self._database.pool.fetch(FUNCTION_SQL, schema, name)
            found = tuple(_function(schema, name, row) for row in rows)
            if found:
                self._functions[schema, name] = found
        return found

    async def similar_function(self, schema: str, name: str) -> str | None:
        """The function whose name is most like one that does not exist."""
        names = [row["proname"] for row in await self._database.pool.fetch(FUNCTION_NAMES, schema)]
        return most_like(name, names, NAME_LIKENESS)


def most_like(text: str, candidates: list[str], likeness: float) -> str | None:
    """The candidate that the caller may have meant."""
    found = difflib.get_close_matches(text, candidates, n=1, cutoff=likeness)
    return found[0] if found else None


def _column(row: asyncpg.Record) -> Column:
    return Column(row["name"], row["type"], row["plain_type"], row["value"], row["is_key"])


def _function(schema: str, name: str, row: asyncpg.Record) -> Function:
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
        schema,
        name,
        arguments,
        columns,
        is_composite=row["is_composite"],
        is_set=row["is_set"],
        is_void=row["is_void"],
        is_volatile=row["is_volatile"],
    )
