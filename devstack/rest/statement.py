"""Builds the one statement that answers a request on a table; PostgreSQL makes the JSON, so types look as there.

Each statement answers one row: body, row_count, total (null when not asked), updated, status, headers.
"""

# ruff: noqa: S608 - names go through render.identifier, values are parameters, the rest comes from the catalogue

from __future__ import annotations

from dataclasses import dataclass

from devstack.rest.catalogue import Table
from devstack.rest.model import Item, Query
from devstack.rest.render import Renderer, identifier

# More rows than this are cut off silently, as a hosted project does.
MAX_ROWS = 1000
SETTINGS = (
    "nullif(current_setting('response.status', true), '') as status,"
    " nullif(current_setting('response.headers', true), '') as headers"
)
NO_UPDATES = "0 as updated"
UPDATES = "coalesce(nullif(current_setting('devstack.updated', true), ''), '0')::int as updated"
# Counts the rows that were there before; unlike xmax it needs no right to read them.
COUNT_UPDATE = (
    "set_config('devstack.updated',"
    " (coalesce(nullif(current_setting('devstack.updated', true), ''), '0')::int + 1)::text, true) <> ''"
)


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL and its parameters."""

    sql: str
    parameters: list[str | int | list[str]]


@dataclass(frozen=True, slots=True)
class Written:
    """What a write gets and gives: JSON array, columns, and what is returned (nothing for a minimal answer)."""

    body: str = "[]"
    columns: tuple[str, ...] = ()
    returned: tuple[Item, ...] = ()
    resolution: str | None = None
    fill_defaults: bool = False
    one: bool = False


def read(table: Table, query: Query, *, counted: bool, one: bool) -> Statement:
    """GET on a table."""
    renderer = Renderer(table.name, table.columns)
    items, where = renderer.items(query.select), renderer.where(query.filters)
    paged = page(renderer, query)
    total = f"(select count(*) from {_target(table)}{where})" if counted else "null::bigint"
    return Statement(
        f"with _source as (select {items} from {_target(table)}{where}{paged})"
        f" select {rows(one=one)}, {total} as total, {NO_UPDATES}, {SETTINGS} from _source as pgrst_row",
        renderer.parameters,
    )


def plan(table: Table, query: Query) -> Statement:
    """The planner's estimate of the rows that the filters leave."""
    renderer = Renderer(table.name, table.columns)
    where = renderer.where(query.filters)
    return Statement(f"explain (format json) select 1 from {_target(table)}{where}", renderer.parameters)


def insert(table: Table, query: Query, written: Written) -> Statement:
    """POST on a table."""
    renderer = Renderer(table.name, table.columns)
    names = ", ".join(identifier(name) for name in written.columns)
    values = f" ({names}) select {names} from {_given(renderer, table, written)}" if names else " default values"
    conflict = _conflict(table, query, written)
    return _write(renderer, f"insert into {_target(table)}{values}{conflict}", written, UPDATES)


def update(table: Table, query: Query, written: Written) -> Statement:
    """PATCH on a table; the first object of the body counts."""
    renderer = Renderer(table.name, table.columns)
    names = [identifier(name) for name in written.columns]
    assigned = ", ".join(f"{name} = _given.{name}" for name in names)
    given = f"(select {', '.join(names)} from {_given(renderer, table, written)} limit 1) as _given"
    where = renderer.where(query.filters)
    return _write(renderer, f"update {_target(table)} set {assigned} from {given}{where}", written, NO_UPDATES)


def delete(table: Table, query: Query, written: Written) -> Statement:
    """DELETE on a table."""
    renderer = Renderer(table.name, table.columns)
    where = renderer.where(query.filters)
    return _write(renderer, f"delete from {_target(table)}{where}", written, NO_UPDATES)


def rows(source: str = "pgrst_row", *, one: bool) -> str:
    """The columns body and row_count: a JSON array, or its first element."""
    body = f"coalesce(json_agg({source}) -> 0, 'null')" if one else f"coalesce(json_agg({source}), '[]')"
    return f"{body}::text as body, count(*) as row_count"


def page(renderer: Renderer, query: Query) -> str:
    """Order, limit and offset."""
    limit = MAX_ROWS if query.limit is None else min(query.limit, MAX_ROWS)
    offset = f" offset {query.offset:d}" if query.offset else ""
    return f"{renderer.order(query.order)} limit {limit:d}{offset}"


def _write(renderer: Renderer, sql: str, written: Written, updates: str) -> Statement:
    returned = renderer.items(written.returned) if written.returned else "1"
    return Statement(
        f"with _source as ({sql} returning {returned})"
        f" select {rows(one=written.one)}, null::bigint as total, {updates}, {SETTINGS} from _source as pgrst_row",
        renderer.parameters,
    )


def _target(table: Table) -> str:
    return f"{identifier(table.schema)}.{identifier(table.name)}"


def _given(renderer: Renderer, table: Table, written: Written) -> str:
    kinds = ", ".join(f"{identifier(name)} {table.columns[name].type}" for name in written.columns)
    body = f"{renderer.bind(written.body)}::jsonb" if written.fill_defaults else f"{renderer.bind(written.body)}::json"
    if not written.fill_defaults:
        return f"json_to_recordset({body}) as _ ({kinds})"
    defaults = ", ".join(
        f"{renderer.bind(name)}, {table.columns[name].default}"
        for name in written.columns
        if table.columns[name].default is not None
    )
    filled = f"(select jsonb_agg(jsonb_build_object({defaults}) || _one) from jsonb_array_elements({body}) as _one)"
    return f"jsonb_to_recordset({filled}) as _ ({kinds})"


def _conflict(table: Table, query: Query, written: Written) -> str:
    key = query.on_conflict or table.key
    if written.resolution is None or not key:
        return ""
    target = f" on conflict ({', '.join(identifier(name) for name in key)})"
    if written.resolution == "ignore-duplicates" or not written.columns:
        return f"{target} do nothing"
    assigned = ", ".join(f"{identifier(name)} = excluded.{identifier(name)}" for name in written.columns)
    return f"{target} do update set {assigned} where {COUNT_UPDATE}"
