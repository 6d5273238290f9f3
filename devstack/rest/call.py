"""Builds the statement that calls a function, with what is asked of its result."""

# ruff: noqa: S608 - names go through render.identifier, values are parameters, the rest comes from the catalogue

from __future__ import annotations

from dataclasses import dataclass, replace

from devstack.rest.body import Body
from devstack.rest.catalogue import Function
from devstack.rest.embedding import Scope
from devstack.rest.media import Shape
from devstack.rest.model import Query
from devstack.rest.render import Renderer, identifier
from devstack.rest.statement import NO_UPDATES, SETTINGS, Statement, rows


@dataclass(frozen=True, slots=True)
class Call:
    """A function, what it is given, and what is asked of its result."""

    function: Function
    given: frozenset[str]
    body: Body
    query: Query


def call(scope: Scope, meant: Call, shape: Shape, *, counted: bool) -> Statement:
    """An rpc; the body holds the arguments that are given, or is the whole argument of a function without names."""
    function, query = meant.function, meant.query
    origin = function.rows_of[1] if function.rows_of else function.name
    renderer = Renderer(origin, function.columns, [])
    source, passed = _arguments(renderer, meant)
    target = f"{identifier(function.schema)}.{identifier(function.name)}({passed})"
    if function.is_void:
        return Statement(
            f"with _call as materialized (select {target} from {source})"
            f" select '' as body, count(*) as row_count, null::bigint as total, {NO_UPDATES}, {SETTINGS} from _call",
            renderer.parameters,
        )
    alias = renderer.alias
    if function.is_composite:
        called, row = f"select {alias}.* from {source}, lateral {target} as {alias}", "pgrst_row"
    else:
        called, row = f"select {target} as pgrst_scalar from {source}", "pgrst_row.pgrst_scalar"
    shown = scope.shown(renderer, origin, query)
    rest = f"_call as {alias}{shown.joins}{renderer.where(query.filters)}"
    total = f"(select count(*) from {rest})" if counted else "null::bigint"
    one = shape if function.is_set or shape.form == "csv" else replace(shape, form="object")
    return Statement(
        f"with _call as materialized ({called}),"
        f" _source as (select {shown.items} from {rest}{renderer.page(query, scope.max_rows)})"
        f" select {rows(one, row if shape.form != 'csv' else 'pgrst_row')}, {total} as total, {NO_UPDATES}, {SETTINGS}"
        " from _source as pgrst_row",
        renderer.parameters,
    )


def _arguments(renderer: Renderer, meant: Call) -> tuple[str, str]:
    function, body, given = meant.function, meant.body, meant.given
    if function.unnamed_type is not None and not function.accepts(given):
        return f"(select {renderer.bind(body.text)} as body) as _given", f"_given.body::{function.unnamed_type}"
    passed = [argument for argument in function.arguments if argument.name in given]
    if not passed:
        return "(select) as _given", ""
    kinds = ", ".join(f"{identifier(argument.name)} {argument.type}" for argument in passed)
    record = f"{renderer.bind(body.text)}::json{' -> 0' if isinstance(body.value, list) else ''}"
    source = f"json_to_record({record}) as _given ({kinds})"
    named = (
        f"{'variadic ' if argument.variadic else ''}{identifier(argument.name)} => _given.{identifier(argument.name)}"
        for argument in passed
    )
    return source, ", ".join(named)
