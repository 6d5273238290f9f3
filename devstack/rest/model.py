"""What the URL of a request asks for, as values; knows nothing of SQL or HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Step:
    """One `->key` or `->>key` into JSON."""

    arrow: Literal["->", "->>"]
    key: str


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


@dataclass(frozen=True, slots=True)
class Condition:
    """One filter; `in` has several values, every other operator one."""

    field: Field
    operator: str
    values: tuple[str, ...]
    negated: bool = False
    quantifier: Literal["any", "all"] | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions joined by `and` or `or`."""

    joiner: Literal["and", "or"]
    members: tuple[Condition | Group, ...]
    negated: bool = False


Filter: TypeAlias = Condition | Group


@dataclass(frozen=True, slots=True)
class Order:
    """One term of `order`."""

    field: Field
    direction: Literal["asc", "desc"] | None = None
    nulls: Literal["nullsfirst", "nullslast"] | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """All of a query string; `arguments` are the parameters that no filter claims (rpc by GET)."""

    select: tuple[Item, ...] = (Item(Field("*")),)
    filters: tuple[Filter, ...] = ()
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    columns: tuple[str, ...] | None = None
    on_conflict: tuple[str, ...] | None = None
    arguments: tuple[tuple[str, str], ...] = ()
