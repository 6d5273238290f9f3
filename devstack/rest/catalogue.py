"""What the exposed schemas hold at one moment: tables with columns, functions with arguments, relationships.

Knows nothing of when it is read again: cache.py does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

Name: TypeAlias = tuple[str, str]
"""Schema and name."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `plain_type` has no length and no domain, so that a filter's value is never cut or refused by it."""

    name: str
    type: str
    plain_type: str
    default: str | None = None
    is_key: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view that requests may name; `writable` are those of insert, update and delete that it takes."""

    schema: str
    name: str
    columns: dict[str, Column]
    writable: frozenset[str] = frozenset()

    @property
    def key(self) -> tuple[str, ...]:
        """The primary key's columns."""
        return tuple(column.name for column in self.columns.values() if column.is_key)

    @property
    def allowed(self) -> str:
        """The methods that make sense, as OPTIONS tells them."""
        can_put = self.key and {"insert", "update"} <= self.writable
        methods = {
            "POST": "insert" in self.writable,
            "PUT": can_put,
            "PATCH": "update" in self.writable,
            "DELETE": "delete" in self.writable,
        }
        return ",".join(("OPTIONS", "GET", "HEAD", *(method for method, can in methods.items() if can)))


@dataclass(frozen=True, slots=True)
class Argument:
    """One input of a function; the name is empty where the function has none."""

    name: str
    type: str
    required: bool
    variadic: bool


@dataclass(frozen=True, slots=True)
class Function:
    """One overload; `rows_of` is the table whose rows it returns, `time_limit` its own statement_timeout."""

    schema: str
    name: str
    arguments: tuple[Argument, ...]
    columns: dict[str, Column]
    rows_of: Name | None
    is_composite: bool
    is_set: bool
    is_void: bool
    is_volatile: bool
    time_limit: str | None = None

    def accepts(self, names: frozenset[str]) -> bool:
        """Whether a call with these argument names fits."""
        known = {argument.name for argument in self.arguments}
        required = {argument.name for argument in self.arguments if argument.required}
        return required <= names <= known

    @property
    def unnamed_type(self) -> str | None:
        """The type of its only argument, where that has no name: it takes the whole body."""
        return self.arguments[0].type if len(self.arguments) == 1 and not self.arguments[0].name else None


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """One foreign key; `is_unique` when its columns are also a key of their own table."""

    name: str
    origin: Name
    target: Name
    columns: tuple[tuple[str, str], ...]
    is_unique: bool


@dataclass(frozen=True, slots=True)
class Junction:
    """The table between two that are related many-to-many, and its two keys."""

    table: Name
    to_origin: ForeignKey
    to_target: ForeignKey


@dataclass(frozen=True, slots=True)
class Relationship:
    """How one table leads to another; `columns` are pairs of a column here and one there.

    Where a `function` leads there, its name is the relationship's.
    """

    name: str
    origin: Name
    target: Name
    columns: tuple[tuple[str, str], ...]
    cardinality: str
    junction: Junction | None = None
    function: Name | None = None

    @property
    def is_to_one(self) -> bool:
        """Whether there is at most one row on the other side."""
        return self.cardinality in ("many-to-one", "one-to-one")

    @property
    def is_self(self) -> bool:
        """Whether it leads back to the same table."""
        return self.origin == self.target


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One state of the exposed schemas."""

    tables: dict[Name, Table]
    functions: dict[Name, tuple[Function, ...]]
    relationships: dict[Name, tuple[Relationship, ...]] = field(default_factory=dict)

    def table(self, schema: str, name: str) -> Table | None:
        """The table, or None when there is none of that name."""
        return self.tables.get((schema, name))

    def overloads(self, schema: str, name: str) -> tuple[Function, ...]:
        """All functions of a name; an empty tuple when there are none."""
        return self.functions.get((schema, name), ())

    def related(self, schema: str, name: str) -> tuple[Relationship, ...]:
        """Everything that a table leads to."""
        return self.relationships.get((schema, name), ())


def relationships(
    keys: list[ForeignKey], computed: list[Relationship], tables: dict[Name, Table]
) -> dict[Name, tuple[Relationship, ...]]:
    """What the foreign keys lead to: each in both directions, and two of one table across it; then the functions."""
    found: dict[Name, list[Relationship]] = {}
    for key in keys:
        there, back = ("one-to-one", "one-to-one") if key.is_unique else ("many-to-one", "one-to-many")
        inverse = tuple((theirs, ours) for ours, theirs in key.columns)
        for one in (
            Relationship(key.name, key.origin, key.target, key.columns, there),
            Relationship(key.name, key.target, key.origin, inverse, back),
        ):
            found.setdefault(one.origin, []).append(one)
    for one in (*_across(keys, tables), *computed):
        found.setdefault(one.origin, []).append(one)
    return {origin: tuple(several) for origin, several in found.items()}


def _across(keys: list[ForeignKey], tables: dict[Name, Table]) -> list[Relationship]:
    """A table is a junction when its primary key holds the columns of both foreign keys."""
    pairs = ((one, other) for one in keys for other in keys if one is not other and one.origin == other.origin)
    return [
        Relationship(one.name, one.target, other.target, (), "many-to-many", Junction(one.origin, one, other))
        for one, other in pairs
        if {column for column, _ in (*one.columns, *other.columns)} <= set(tables[one.origin].key)
    ]
