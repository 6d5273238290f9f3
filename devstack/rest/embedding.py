"""Writes the related tables of a query as SQL: one lateral join each, and what the answer shows of it.

Knows the catalogue's relationships; not what the joins are attached to.
"""

# ruff: noqa: S608 - names go through render.identifier, values are parameters

from __future__ import annotations

from dataclasses import dataclass, replace

from devstack.rest.catalogue import Catalogue, Relationship, Table
from devstack.rest.model import Embed, Field, Item, Query
from devstack.rest.related import find
from devstack.rest.render import Joined, Renderer, identifier


@dataclass(frozen=True, slots=True)
class Shown:
    """The select clause and the joins behind the source, and the names of its columns (`*` for all of them)."""

    items: str
    joins: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scope:
    """Where related tables are looked up, and how many rows each may give."""

    catalogue: Catalogue
    schema: str
    max_rows: int | None

    def shown(self, renderer: Renderer, origin: str, query: Query, depth: int = 1) -> Shown:
        """What a query shows of the table `origin`; the renderer learns what is joined.

        Raises: RestError PGRST200 or PGRST201 for a relationship that is missing or ambiguous.
        """
        items, joins, names = [], [], []
        for one in query.select:
            if isinstance(one, Item):
                items.append(renderer.item(one))
                names.append(one.name)
                continue
            part = self._embedded(renderer, origin, one, depth)
            joins.append(part.joins)
            if part.items:
                items.append(part.items)
                names += part.names
        return Shown(", ".join(items), "".join(joins), tuple(names))

    def needed(self, table: Table, query: Query) -> tuple[str, ...]:
        """The table's own columns that a query shows or joins by; `*` alone when it shows them all."""
        names = [item.field.name for item in query.items]
        for embed in query.embeds:
            way = find(self.catalogue, self.schema, table.name, embed)
            if way.function is not None:
                names.append("*")
            elif way.junction is None:
                names += [here for here, _ in way.columns]
            else:
                names += [here for _, here in way.junction.to_origin.columns]
        return ("*",) if "*" in names else tuple(dict.fromkeys(names))

    def _embedded(self, renderer: Renderer, origin: str, embed: Embed, depth: int) -> Shown:
        way = find(self.catalogue, self.schema, origin, embed)
        target = self.catalogue.tables[way.target]
        child = Renderer(f"{target.name}_{depth}", target.columns, renderer.parameters)
        query = _with_columns(embed, target) if embed.spread else embed.query
        inside = self.shown(child, target.name, query, depth + 1)
        alias = identifier(f"{origin}_{embed.name}_{depth}")
        sources, conditions = _source(way, target, child, renderer.alias, depth)
        rows = (
            f"select {inside.items} from {sources}{inside.joins}"
            f"{child.where(query.filters, *conditions)}{child.page(query, self.max_rows)}"
        )
        joined = Joined(alias if way.is_to_one else f"{alias}.{alias}", way.is_to_one)
        renderer.joined[embed.name] = joined
        kind = "inner" if embed.inner else "left"
        if way.is_to_one:
            return _one(rows, alias, kind, embed, inside)
        return _many(rows, alias, kind, embed, inside)


def _one(rows: str, alias: str, kind: str, embed: Embed, inside: Shown) -> Shown:
    joins = f" {kind} join lateral ({rows}) as {alias} on true"
    if embed.spread:
        return Shown(", ".join(f"{alias}.{identifier(name)}" for name in inside.names), joins, inside.names)
    shown = f"row_to_json({alias}.*)::jsonb as {identifier(embed.name)}" if inside.items else ""
    return Shown(shown, joins, (embed.name,))


def _many(rows: str, alias: str, kind: str, embed: Embed, inside: Shown) -> Shown:
    columns = "".join(
        f", json_agg({alias}.{identifier(name)})::jsonb as {identifier(name)}"
        for name in (inside.names if embed.spread else ())
    )
    joins = (
        f" {kind} join lateral (select json_agg({alias})::jsonb as {alias}{columns} from ({rows}) as {alias})"
        f" as {alias} on {f'{alias}.{alias} is not null' if kind == 'inner' else 'true'}"
    )
    if embed.spread:
        spread = (f"coalesce({alias}.{identifier(name)}, '[]') as {identifier(name)}" for name in inside.names)
        return Shown(", ".join(spread), joins, inside.names)
    shown = f"coalesce({alias}.{alias}, '[]') as {identifier(embed.name)}" if inside.items else ""
    return Shown(shown, joins, (embed.name,))


def _source(way: Relationship, target: Table, child: Renderer, parent: str, depth: int) -> tuple[str, list[str]]:
    """What the related rows come from, and what relates them to the row around them."""
    if way.function is not None:
        schema, name = way.function
        row = f"{parent}::{identifier(way.origin[0])}.{identifier(way.origin[1])}"
        return f"{identifier(schema)}.{identifier(name)}({row}) as {child.alias}", []
    source = f"{qualified(target)} as {child.alias}"
    if way.junction is None:
        return source, [
            f"{child.alias}.{identifier(there)} = {parent}.{identifier(here)}" for here, there in way.columns
        ]
    schema, name = way.junction.table
    junction = identifier(f"{name}_{depth}_between")
    conditions = [
        f"{junction}.{identifier(ours)} = {parent}.{identifier(theirs)}"
        for ours, theirs in way.junction.to_origin.columns
    ] + [
        f"{junction}.{identifier(ours)} = {child.alias}.{identifier(theirs)}"
        for ours, theirs in way.junction.to_target.columns
    ]
    return f"{source}, {identifier(schema)}.{identifier(name)} as {junction}", conditions


def qualified(table: Table) -> str:
    """The table's name with its schema."""
    return f"{identifier(table.schema)}.{identifier(table.name)}"


def _with_columns(embed: Embed, target: Table) -> Query:
    """The query of a spread table, every column by its name: those are put beside the others."""
    select = tuple(
        wide
        for one in embed.query.select
        for wide in (
            [Item(Field(name)) for name in target.columns] if isinstance(one, Item) and one.field.name == "*" else [one]
        )
    )
    return replace(embed.query, select=select)
