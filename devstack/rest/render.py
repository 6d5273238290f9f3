"""Turns parts of a Query into SQL: identifiers quoted, values as parameters, nothing else from the request.

Knows nothing of whole statements.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from devstack.rest.catalogue import Column
from devstack.rest.errors import RestError
from devstack.rest.model import Condition, Field, Filter, Group, Item, Order, Query

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
TEXT_SEARCHES = {
    "fts": "to_tsquery",
    "plfts": "plainto_tsquery",
    "phfts": "phraseto_tsquery",
    "wfts": "websearch_to_tsquery",
}
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


@dataclass(frozen=True, slots=True)
class Joined:
    """An embedded table as the SQL around it sees it: its alias, quoted, and whether that is one row."""

    alias: str
    is_to_one: bool


class Renderer:
    """Writes SQL about one table, and collects the parameters of the statement.

    `joined` are the tables embedded in it, by the name that filters and orders call them.
    """

    def __init__(self, name: str, columns: Mapping[str, Column], parameters: list[str | int | list[str]]) -> None:
        self.name = name
        self.alias = identifier(name)
        self.columns = columns
        self.parameters = parameters
        self.joined: dict[str, Joined] = {}

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
            text += f" {step.arrow} {self.bind(step.key)}"
        return f"({text})"

    def item(self, item: Item) -> str:
        """One column of a select clause.

        Raises: RestError PGRST100 for a cast to what is no type's name.
        """
        if item.field.name == "*":
            return f"{self.alias}.*"
        text = self.field(item.field)
        if item.cast is not None:
            if not TYPE_NAME.fullmatch(item.cast):
                raise RestError(400, "PGRST100", f'"failed to parse select parameter (::{item.cast})"')
            text = f"cast({text} as {item.cast})"
        return f"{text} as {identifier(item.name)}"

    def where(self, filters: tuple[Filter, ...], *also: str) -> str:
        """A where clause, or nothing; `also` are conditions in SQL."""
        conditions = [*also, *(self._filter(one) for one in filters)]
        return " where " + " and ".join(conditions) if conditions else ""

    def order(self, terms: tuple[Order, ...]) -> str:
        """An order clause, or nothing."""
        return " order by " + ", ".join(self._term(term) for term in terms) if terms else ""

    def page(self, query: Query, max_rows: int | None) -> str:
        """Order, limit and offset; no page has more than `max_rows`."""
        limits = [limit for limit in (query.limit, max_rows) if limit is not None]
        limit = f" limit {min(limits):d}" if limits else ""
        offset = f" offset {query.offset:d}" if query.offset else ""
        return f"{self.order(query.order)}{limit}{offset}"

    def _term(self, term: Order) -> str:
        nulls = {"nullsfirst": " nulls first", "nullslast": " nulls last", None: ""}[term.nulls]
        field = self.field(term.field) if term.relation is None else self._related_field(term.relation, term.field)
        return f"{field} {term.direction or 'asc'}{nulls}"

    def _related_field(self, relation: str, field: Field) -> str:
        joined = self.joined.get(relation)
        if joined is None:
            hint = f"Verify that '{relation}' is included in the 'select' query parameter."
            message = f"'{relation}' is not an embedded resource in this request"
            raise RestError(400, "PGRST108", message, hint=hint)
        if not joined.is_to_one:
            details = f"'{self.name}' and '{relation}' do not form a many-to-one or one-to-one relationship"
            raise RestError(400, "PGRST118", f"A related order on '{relation}' is not possible", details)
        text = f"{joined.alias}.{identifier(field.name)}"
        steps = "".join(f" {step.arrow} {self.bind(step.key)}" for step in field.path)
        return f"(to_jsonb({text}){steps})" if steps else text

    def _filter(self, one: Filter) -> str:
        text = self._group(one) if isinstance(one, Group) else self._condition(one)
        return f"not ({text})" if one.negated else text

    def _group(self, group: Group) -> str:
        return "(" + f" {group.joiner} ".join(self._filter(member) for member in group.members) + ")"

    def _condition(self, condition: Condition) -> str:
        if not condition.field.path and condition.field.name in self.joined:
            return self._presence(condition)
        field = self.field(condition.field)
        if condition.operator in TEXT_SEARCHES:
            return self._text_search(field, condition)
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

    def _presence(self, condition: Condition) -> str:
        """Whether there is a row of an embedded table at all."""
        name, truth = condition.field.name, condition.values[0]
        if condition.operator != "is" or truth not in ("null", "not_null"):
            details = "Only is null or not is null filters are allowed on embedded resources"
            raise RestError(400, "PGRST120", f"Bad operator on the '{name}' embedded resource", details)
        return f"{self.joined[name].alias} is {'not ' if truth == 'null' else ''}distinct from null"

    def _text_search(self, field: str, condition: Condition) -> str:
        language = f"{self.bind(condition.language)}::regconfig, " if condition.language else ""
        words = f"{TEXT_SEARCHES[condition.operator]}({language}{self.bind(condition.values[0])})"
        is_vector = self._type(condition.field) == "tsvector"
        return f"{field if is_vector else f'to_tsvector({language}{field})'} @@ {words}"

    def _type(self, field: Field) -> str:
        if field.path:
            return "text" if field.path[-1].arrow == "->>" else "jsonb"
        known = self.columns.get(field.name)
        return known.plain_type if known else "text"
