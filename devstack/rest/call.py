"""Chooses the overload that an rpc means, and builds the statement that calls it."""

# ruff: noqa: S608 - names go through render.identifier, values are parameters, the rest comes from the catalogue

from __future__ import annotations

from devstack.rest.catalogue import ARGUMENTS_LIKENESS, Catalogue, Function, most_like
from devstack.rest.errors import RestError
from devstack.rest.model import Query
from devstack.rest.render import Renderer, identifier
from devstack.rest.statement import NO_UPDATES, SETTINGS, Statement, page, rows

AMBIGUOUS_HINT = (
    "Try renaming the parameters or the function itself in the database so function overloading can be resolved"
)


async def choose(catalogue: Catalogue, schema: str, name: str, given: frozenset[str], *, has_body: bool) -> Function:
    """The overload with these argument names.

    Raises: RestError PGRST202 when there is none, PGRST203 when there are several.
    """
    for _ in range(2):
        overloads = await catalogue.functions(schema, name)
        fitting = [one for one in overloads if one.accepts(given)]
        if len(fitting) == 1:
            return fitting[0]
        if len(fitting) > 1:
            raise _ambiguous(fitting)
        whole = [one for one in overloads if one.takes_whole_body]
        if has_body and whole:
            return whole[0]
        catalogue.forget()  # a function made a moment ago may still be missing
    raise await _missing(catalogue, schema, name, given)


def call(function: Function, query: Query, body: str, given: frozenset[str], *, counted: bool, one: bool) -> Statement:
    """An rpc; `body` is a JSON object with the arguments `given`, or the whole body of an unnamed one."""
    renderer = Renderer(function.name, function.columns)
    source, passed = _arguments(renderer, function, body, given)
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
    items, where = renderer.items(query.select), renderer.where(query.filters)
    paged = page(renderer, query)
    total = f"(select count(*) from _call as {alias}{where})" if counted else "null::bigint"
    return Statement(
        f"with _call as materialized ({called}),"
        f" _source as (select {items} from _call as {alias}{where}{paged})"
        f" select {rows(row, one=one or not function.is_set)}, {total} as total, {NO_UPDATES}, {SETTINGS}"
        " from _source as pgrst_row",
        renderer.parameters,
    )


def _arguments(renderer: Renderer, function: Function, body: str, given: frozenset[str]) -> tuple[str, str]:
    if function.takes_whole_body:
        return f"(select {renderer.bind(body)} as body) as _given", f"_given.body::{function.arguments[0].type}"
    passed = [argument for argument in function.arguments if argument.name in given]
    if not passed:
        return "(select) as _given", ""
    kinds = ", ".join(f"{identifier(argument.name)} {argument.type}" for argument in passed)
    source = f"json_to_record({renderer.bind(body)}::json) as _given ({kinds})"
    named = (
        f"{'variadic ' if argument.variadic else ''}{identifier(argument.name)} => _given.{identifier(argument.name)}"
        for argument in passed
    )
    return source, ", ".join(named)


def _ambiguous(fitting: list[Function]) -> RestError:
    shown = ", ".join(
        f"{one.schema}.{one.name}({', '.join(f'{argument.name} => {argument.type}' for argument in one.arguments)})"
        for one in fitting
    )
    message = f"Could not choose the best candidate function between: {shown}"
    return RestError(300, "PGRST203", message, hint=AMBIGUOUS_HINT)


async def _missing(catalogue: Catalogue, schema: str, name: str, given: frozenset[str]) -> RestError:
    names = sorted(given)
    shown = f"({', '.join(names)})" if names else " without parameters"
    wanted = {0: "without parameters", 1: f"with parameter {names[0] if names else ''}"}.get(
        len(names), f"with parameters {', '.join(names)}"
    )
    return RestError(
        404,
        "PGRST202",
        f"Could not find the function {schema}.{name}{shown} in the schema cache",
        f"Searched for the function {schema}.{name} {wanted} or with a single unnamed json/jsonb parameter,"
        " but no matches were found in the schema cache.",
        await _hint(catalogue, schema, name, names),
    )


async def _hint(catalogue: Catalogue, schema: str, name: str, names: list[str]) -> str | None:
    overloads = await catalogue.functions(schema, name)
    if overloads:
        signatures = [", ".join(argument.name for argument in one.arguments) for one in overloads]
        meant = most_like(", ".join(names), signatures, ARGUMENTS_LIKENESS)
        return None if meant is None else f"Perhaps you meant to call the function {schema}.{name}({meant})"
    similar = await catalogue.similar_function(schema, name)
    return None if similar is None else f"Perhaps you meant to call the function {schema}.{similar}"
