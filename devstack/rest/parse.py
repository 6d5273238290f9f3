"""Turns a query string into a Query, and hands what names an embedded table on to that table's query."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

from devstack.rest.errors import RestError
from devstack.rest.grammar import is_predicate, read
from devstack.rest.model import Condition, Embed, Field, Filter, Group, Item, Query

ALONE = frozenset(("select", "columns", "on_conflict"))
ENDINGS = frozenset(("order", "limit", "offset", "and", "or"))


@dataclass(frozen=True, slots=True)
class _Part:
    """One parameter: the embedded table it is for (an empty way is the table itself), and what it says."""

    way: tuple[str, ...]
    kind: str
    said: Any


_Parts: TypeAlias = list[_Part]


def parse_query(pairs: Iterable[tuple[str, str]], *, arguments: bool = False) -> Query:
    """Read the decoded pairs of a query string; with `arguments`, what is no filter is a function's.

    Raises: RestError.
    """
    alone: dict[str, str] = {}
    parts: _Parts = []
    given: list[tuple[str, str]] = []
    for name, value in pairs:
        if name in ALONE:
            alone.setdefault(name, value)
        elif arguments and "." not in name and name not in ENDINGS and not is_predicate(value):
            given.append((name, value))
        else:
            parts.append(_part(name, value))
    query = Query(
        select=read("select", alone["select"]) if alone.get("select") else (Item(Field("*")),),
        columns=read("columns", alone["columns"]) if alone.get("columns") else None,
        on_conflict=read("columns", alone["on_conflict"]) if alone.get("on_conflict") else None,
        arguments=tuple(given),
    )
    return _grown(query, parts)


def _part(name: str, value: str) -> _Part:
    way, field = cast(tuple[tuple[str, ...], Field], read("path", name))
    if field.path or field.name not in ENDINGS:
        return _Part(way, "filter", Condition(field, **read("predicate", value)))
    if field.name in ("and", "or"):
        negated = "not" in way
        group = Group(cast(Any, field.name), read("tree", value), negated)
        return _Part(tuple(step for step in way if step != "not"), "filter", group)
    if field.name == "order":
        return _Part(way, "order", read("order", value) if value else ())
    return _Part(way, field.name, _number(field.name, value))


def _number(name: str, text: str) -> int | None:
    try:
        number = int(text)
    except ValueError:
        return None  # as the real server, which drops what it cannot read
    if number < 0 and name == "limit":
        details = "Limit should be greater than or equal to zero."
        raise RestError(416, "PGRST103", "Requested range not satisfiable", details)
    return max(number, 0)


def _grown(query: Query, parts: _Parts) -> Query:
    """The query with what is its own, and its embedded tables with what is theirs."""
    mine = {part.kind: part.said for part in parts if not part.way}
    filters: list[Filter] = [part.said for part in parts if not part.way and part.kind == "filter"]
    owners = {part.way[0]: _owner(query, part.way[0]) for part in parts if part.way}
    select = tuple(
        replace(one, query=_grown(one.query, _handed_on(parts, owners, one))) if isinstance(one, Embed) else one
        for one in query.select
    )
    return replace(
        query,
        select=select,
        filters=tuple(filters),
        order=mine.get("order", ()),
        limit=mine.get("limit"),
        offset=mine.get("offset") or 0,
    )


def _owner(query: Query, name: str) -> Embed:
    for one in query.embeds:
        if name in (one.target, one.alias):
            return one
    hint = f"Verify that '{name}' is included in the 'select' query parameter."
    raise RestError(400, "PGRST108", f"'{name}' is not an embedded resource in this request", hint=hint)


def _handed_on(parts: _Parts, owners: dict[str, Embed], one: Embed) -> _Parts:
    return [replace(part, way=part.way[1:]) for part in parts if part.way and owners[part.way[0]] is one]
