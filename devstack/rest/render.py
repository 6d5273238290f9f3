"""Turns parts of a Query into SQL: identifiers quoted, values as parameters, nothing else from the request.

Knows nothing of whole statements.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from devstack.rest.catalogue import Column
from devstack.rest.errors import RestError
from devstack.rest.model import Condition, Field, Filter, Group, Item, Order

COMPARISONS = {
    "eq": "=",
    "neq": "<>",
    "gt": ">",
    "gte": ">=",
    "lt": "<",
    "lte": "<=",
    "like": "like",
    "ilike": "ilike",
    "match": "~",
    "imatch": "~*",
    "isdistinct": "is distinct from",
    "cs": "@>",
    "cd": "<@",
    "ov": "&&",
    "sl": "<<",
    "sr": ">>",
    "nxr": "&<",
    "nxl": "&>",
    "adj": "-|-",
}
PATTERNS = ("like", "ilike", "match", "imatch")
TRUTHS = {"null": "null", "not_null": "not null", "true": "true", "false": "false", "unknown": "unknown"}
# A type name is written as it stands, so it may hold nothing but words.
TYPE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_ ]*")


def identifier(name: str) -> str:
    """Quote a name.

    Raises: RestError for a NUL, which would end the statement early.
    """
    if "\x00" in name:
        raise RestError(400, "PGRST100", "a name holds a NUL")
    return '"' + name.replace('"', '""') + '"'


class Renderer:
    """Writes SQL about one table, and collects the parameters of the statement."""

    def __init__(self, alias: str, columns: Mapping[str, Column]) -> None:
        self.alias = identifier(alias)
        self.columns = columns
        self.parameters: list[str | int | list[str]] = []

    def bind(self, value: str | int | list[str]) -> str:
        """Add a parameter and return its place; its type is text, text[] or int."""
        self.parameters.append(value)
        kind = {str: "text", int: "int", list: "text[]"}[type(value)]
        return f"${len(self.parameters)}::{kind}"

    def field(self, field: Field) -> str:
        """A column, or what the path finds inside it."""
        column = f"{self.alias}.{identifier(field.name)}"
        if not field.path:
            return column
        known = self.columns.get(field.name)
        text = column if known and known.type in ("json", "jsonb") else f"to_jsonb({column})"
        for step in field.path:
            key = int(step.key) if re.fullmatch(r"-?[0-9]{1,9}", step.key) else step.key
            text += f" {step.arrow} {self.bind(key)}"
        return f"({text})"

    def items(self, items: tuple[Item, ...]) -> str:
        """The columns of a select or returning clause."""
        return ", ".join(self._item(item) for item in items) or f"{self.alias}.*"

    def where(self, filters: tuple[Filter, ...]) -> str:
        """A where clause, or nothing."""
        return " where " + " and ".join(self._filter(one) for one in filters) if filters else ""

    def order(self, terms: tuple[Order, ...]) -> str:
        """An order clause, or nothing."""
        return " order by " + ", ".join(self._term(term) for term in terms) if terms else ""

    def _item(self, item: Item) -> str:
        if item.field.name == "*":
            return f"{self.alias}.*"
        text = self.field(item.field)
        if item.cast is not None:
            if not TYPE_NAME.fullmatch(item.cast):
                raise RestError(400, "PGRST100", f'"failed to parse select parameter (::{item.cast})"')
            text = f"cast({text} as {item.cast})"
        keys = [step.key for step in item.field.path if not step.key.isdecimal()]
        name = item.alias or (keys[-1] if keys else item.field.name)
        return f"{text} as {identifier(name)}"

    def _term(self, term: Order) -> str:
        nulls = {"nullsfirst": " nulls first", "nullslast": " nulls last", None: ""}[term.nulls]
        return f"{self.field(term.field)} {term.direction or 'asc'}{nulls}"

    def _filter(self, one: Filter) -> str:
        text = self._group(one) if isinstance(one, Group) else self._condition(one)
        return f"not ({text})" if one.negated else text

    def _group(self, group: Group) -> str:
        return "(" + f" {group.joiner} ".join(self._filter(member) for member in group.members) + ")"

    def _condition(self, condition: Condition) -> str:
        field = self.field(condition.field)
        if condition.operator == "is":
            return f"{field} is {TRUTHS[condition.values[0]]}"
        kind = self._type(condition.field)
        if condition.operator == "in":
            return f"{field} = any ({self.bind(list(condition.values))}::{kind}[])"
        value = condition.values[0]
        if condition.operator in PATTERNS:
            kind = "text"
            if condition.operator in ("like", "ilike"):
                value = value.replace("*", "%")
        comparison = COMPARISONS[condition.operator]
        if condition.quantifier is not None:
            return f"{field} {comparison} {condition.quantifier} ({self.bind(value)}::{kind}[])"
        return f"{field} {comparison} {self.bind(value)}::{kind}"

    def _type(self, field: Field) -> str:
        if field.path:
            return "text" if field.path[-1].arrow == "->>" else "jsonb"
        known = self.columns.get(field.name)
        return known.plain_type if known else "text"
