"""What the URL of a request asks for, as values; knows nothing of SQL or HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Step:
    """One `->key` or `->>key` into JSON; a number is a place in an array."""

    arrow: Literal["->", "->>"]
    key: str | int


@dataclass(frozen=True, slots=True)
class Field:
    """A column, or something inside a JSON column."""

    name: str
    path: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of `select`; the field `*` means every column."""

    field: Field
    alias: str | None = None
    cast: str | None = None

    @property
    def name(self) -> str:
        """What the answer calls it: the alias, the last key on the way into JSON, or the column."""
        keys = [step.key for step in self.field.path if isinstance(step.key, str)]
        return self.alias or (keys[-1] if keys else self.field.name)


@dataclass(frozen=True, slots=True)
class Embed:
    """One related table in `select`, with a query of its own; a spread one puts its columns beside the others."""

    target: str
    query: Query
    alias: str | None = None
    hint: str | None = None
    inner: bool = False
    spread: bool = False

    @property
    def name(self) -> str:
        """What the answer and the filters call it."""
        return self.alias or self.target


@dataclass(frozen=True, slots=True)
class Condition:
    """One filter; `in` has several values, every other operator one. A text search may name its `language`."""

    field: Field
    operator: str
    values: tuple[str, ...]
    negated: bool = False
    quantifier: Literal["any", "all"] | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions joined by `and` or `or`."""

    joiner: Literal["and", "or"]
    members: tuple[Condition | Group, ...]
    negated: bool = False


Filter: TypeAlias = Condition | Group


@dataclass(frozen=True, slots=True)
class Order:
    """One term of `order`; with a `relation` the field is one of that embedded table."""

    field: Field
    direction: Literal["asc", "desc"] | None = None
    nulls: Literal["nullsfirst", "nullslast"] | None = None
    relation: str | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """All of a query string; `arguments` are the parameters that no filter claims (rpc by GET)."""

    select: tuple[Item | Embed, ...] = (Item(Field("*")),)
    filters: tuple[Filter, ...] = ()
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    columns: tuple[str, ...] | None = None
    on_conflict: tuple[str, ...] | None = None
    arguments: tuple[tuple[str, str], ...] = ()

    @property
    def embeds(self) -> tuple[Embed, ...]:
        """The related tables that are asked for."""
        return tuple(one for one in self.select if isinstance(one, Embed))

    @property
    def items(self) -> tuple[Item, ...]:
        """The table's own columns that are asked for."""
        return tuple(one for one in self.select if isinstance(one, Item))
