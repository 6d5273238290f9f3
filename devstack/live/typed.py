"""Turns the log's texts into JSON and answers filters, one statement for all rows of a table.

PostgreSQL does both, so that every type looks and compares as it does there; Python never parses a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from devstack.changes.capture import Connection
from devstack.changes.pgoutput import Row
from devstack.live.filters import Filter
from devstack.live.tables import Column, Table

Filters = tuple[Filter, ...]

NOT_NUMBERS = "('NaN', 'Infinity', '-Infinity')"
BINARY_PREFIX = 3  # the log writes \\xdead, Realtime shows dead


@dataclass(frozen=True, slots=True)
class TypedRow:
    """A row as JSON texts by column, and which of the asked filters it passes."""

    values: dict[str, str]
    passes: frozenset[Filters]


async def type_rows(
    connection: Connection, table: Table, rows: Sequence[Row], filters: Sequence[Filters]
) -> list[TypedRow]:
    """Type rows of one table, in their order."""
    numbers = {column.name: number for number, column in enumerate(table.columns)}
    asked = [each for each in filters if all(part.column in numbers for part in each)]
    arguments: list[object] = [[row.get(column.name) for row in rows] for column in table.columns]
    conditions = [_condition(table, each, numbers, arguments) for each in asked]
    selected = ", ".join([*(_json(column, number) for column, number in _numbered(table)), *conditions])
    arrays = ", ".join(f"${number + 1}::text[]" for number in numbers.values())
    names = ", ".join(f"c{number}" for number in numbers.values())
    # Both lists come from the catalogue's own names and types; every value is a parameter.
    sql = f"select {selected} from unnest({arrays}) with ordinality as r ({names}, n) order by r.n"  # noqa: S608
    records = await connection.fetch(sql, *arguments)
    return [_typed(table, row, tuple(record), asked) for row, record in zip(rows, records, strict=True)]


def _typed(table: Table, row: Row, record: tuple[object, ...], asked: Sequence[Filters]) -> TypedRow:
    values = {
        column.name: "null" if value is None else str(value)
        for column, value in zip(table.columns, record, strict=False)
        if column.name in row
    }
    passed = record[len(table.columns) :]
    # A column that the log left out is not compared, as with the real server.
    passes = (each for each, yes in zip(asked, passed, strict=True) if yes and all(part.column in row for part in each))
    return TypedRow(values, frozenset(passes))


def _numbered(table: Table) -> list[tuple[Column, int]]:
    return [(column, number) for number, column in enumerate(table.columns)]


def _json(column: Column, number: int) -> str:
    text = f"r.c{number}"
    if column.type_name == "bytea":
        return f"to_jsonb(substr({text}, {BINARY_PREFIX}))::text"
    value = f"to_jsonb({text}::{column.type_sql})::text"
    if column.type_name in {"float4", "float8", "numeric"}:
        return f"case when {text} in {NOT_NUMBERS} then null else {value} end"
    return value


def _condition(table: Table, filters: Filters, numbers: dict[str, int], arguments: list[object]) -> str:
    parts: list[str] = []
    for each in filters:
        number = numbers[each.column]
        arguments.append(each.value)
        parts.append(each.sql(f"r.c{number}", table.columns[number].type_sql, f"${len(arguments)}::text"))
    return f"coalesce({' and '.join(parts)}, false)"
