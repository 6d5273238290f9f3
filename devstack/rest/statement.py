"""Builds the one statement that answers a request on a table; PostgreSQL makes the body, so types look as there.

Each statement answers one row: body, row_count, total (null when not asked), updated, status, headers.
"""

# ruff: noqa: S608 - names go through render.identifier, values are parameters, the rest comes from the catalogue

from __future__ import annotations

from dataclasses import dataclass

from devstack.rest.catalogue import Table
from devstack.rest.embedding import Scope, qualified
from devstack.rest.media import Shape
from devstack.rest.model import Query
from devstack.rest.render import Renderer, identifier

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
class Wanted:
    """What is asked of a table, and the shape of the answer."""

    scope: Scope
    table: Table
    query: Query
    shape: Shape

    def renderer(self) -> Renderer:
        """A new statement's."""
        return Renderer(self.table.name, self.table.columns, [])


@dataclass(frozen=True, slots=True)
class Written:
    """What a write gets: a JSON array and the columns taken from it.

    `returned` are the columns that the answer needs, none for a minimal one. `matching` is for PUT: the row written
    is the one that the filters name.
    """

    body: str = "[]"
    columns: tuple[str, ...] = ()
    returned: tuple[str, ...] = ()
    resolution: str | None = None
    fill_defaults: bool = False
    matching: bool = False


def read(wanted: Wanted, *, counted: bool) -> Statement:
    """GET on a table."""
    table, query, renderer = wanted.table, wanted.query, wanted.renderer()
    shown = wanted.scope.shown(renderer, table.name, query)
    source = f"{qualified(table)}{shown.joins}{renderer.where(query.filters)}"
    total = f"(select count(*) from {source})" if counted else "null::bigint"
    return Statement(
        f"with _source as (select {shown.items} from {source}{renderer.page(query, wanted.scope.max_rows)})"
        f" select {rows(wanted.shape)}, {total} as total, {NO_UPDATES}, {SETTINGS} from _source as pgrst_row",
        renderer.parameters,
    )


def plan(wanted: Wanted) -> Statement:
    """The planner's estimate of the rows that the filters leave."""
    table, query, renderer = wanted.table, wanted.query, wanted.renderer()
    shown = wanted.scope.shown(renderer, table.name, query)
    where = renderer.where(query.filters)
    sql = f"explain (format json) select 1 from {qualified(table)}{shown.joins}{where}"
    return Statement(sql, renderer.parameters)


def insert(wanted: Wanted, written: Written) -> Statement:
    """POST on a table, or PUT of the one row that the filters name."""
    table, query, renderer = wanted.table, wanted.query, wanted.renderer()
    values = _values(renderer, table, query, written) if written.columns else " default values"
    conflict = _conflict(table, query, written)
    return _write(wanted, renderer, written, f"insert into {qualified(table)}{values}{conflict}", UPDATES)


def update(wanted: Wanted, written: Written) -> Statement:
    """PATCH on a table; the first object of the body counts."""
    table, query, renderer = wanted.table, wanted.query, wanted.renderer()
    names = [identifier(name) for name in written.columns]
    assigned = ", ".join(f"{name} = _given.{name}" for name in names)
    given = f"(select {', '.join(names)} from {_given(renderer, table, written)} limit 1) as _given"
    where = renderer.where(query.filters)
    sql = f"update {qualified(table)} set {assigned} from {given}{where}"
    return _write(wanted, renderer, written, sql)


def delete(wanted: Wanted, written: Written) -> Statement:
    """DELETE on a table."""
    table, query, renderer = wanted.table, wanted.query, wanted.renderer()
    sql = f"delete from {qualified(table)}{renderer.where(query.filters)}"
    return _write(wanted, renderer, written, sql)


def rows(shape: Shape, source: str = "pgrst_row") -> str:
    """The columns body and row_count, the body in its shape."""
    return f"{shape.body(source)} as body, count(*) as row_count"


def returned(wanted: Wanted) -> tuple[str, ...]:
    """The columns that a write must return for its answer."""
    return wanted.scope.needed(wanted.table, wanted.query) or wanted.table.key


def _write(wanted: Wanted, renderer: Renderer, written: Written, sql: str, updates: str = NO_UPDATES) -> Statement:
    if not written.returned:
        sql = f"with _source as ({sql} returning 1)"
        body = "'' as body, count(*) as row_count"
    else:
        columns = ", ".join(f"{renderer.alias}.{'*' if name == '*' else identifier(name)}" for name in written.returned)
        shown = wanted.scope.shown(renderer, wanted.table.name, wanted.query)
        sql = (
            f"with _written as ({sql} returning {columns}),"
            f" _source as (select {shown.items} from _written as {renderer.alias}{shown.joins})"
        )
        body = rows(wanted.shape)
    return Statement(
        f"{sql} select {body}, null::bigint as total, {updates}, {SETTINGS} from _source as pgrst_row",
        renderer.parameters,
    )


def _values(renderer: Renderer, table: Table, query: Query, written: Written) -> str:
    names = ", ".join(identifier(name) for name in written.columns)
    given = _given(renderer, table, written)
    where = Renderer("_given", table.columns, renderer.parameters).where(query.filters) if written.matching else ""
    return f" ({names}) select {names} from {given}{where}"


def _given(renderer: Renderer, table: Table, written: Written) -> str:
    kinds = ", ".join(f"{identifier(name)} {table.columns[name].type}" for name in written.columns)
    body = f"{renderer.bind(written.body)}::jsonb" if written.fill_defaults else f"{renderer.bind(written.body)}::json"
    if not written.fill_defaults:
        return f"json_to_recordset({body}) as _given ({kinds})"
    defaults = ", ".join(
        f"{renderer.bind(name)}, {table.columns[name].default}"
        for name in written.columns
        if table.columns[name].default is not None
    )
    filled = f"(select jsonb_agg(jsonb_build_object({defaults}) || _one) from jsonb_array_elements({body}) as _one)"
    return f"jsonb_to_recordset({filled}) as _given ({kinds})"


def _conflict(table: Table, query: Query, written: Written) -> str:
    key = query.on_conflict or table.key
    if written.resolution is None or not key:
        return ""
    target = f" on conflict ({', '.join(identifier(name) for name in key)})"
    if written.resolution == "ignore-duplicates" or not written.columns:
        return f"{target} do nothing"
    assigned = ", ".join(f"{identifier(name)} = excluded.{identifier(name)}" for name in written.columns)
    return f"{target} do update set {assigned} where {COUNT_UPDATE}"
