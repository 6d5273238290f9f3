"""Turns a query string into a Query; the grammar stands in query.lark.

Raises RestError PGRST100 with PostgREST's words; what is not implemented is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, cast

from lark import Lark, Token, Transformer, UnexpectedInput, v_args
from lark.exceptions import VisitError

from devstack.rest.errors import RestError
from devstack.rest.model import Condition, Field, Filter, Group, Item, Order, Query, Step

STARTS = ["columns", "select", "order", "predicate", "tree", "field"]
TRUTHS = frozenset(("null", "not_null", "true", "false", "unknown"))
RESERVED = frozenset(("select", "order", "limit", "offset", "columns", "on_conflict", "and", "or", "not.and", "not.or"))


def parse_query(pairs: Iterable[tuple[str, str]], arguments: frozenset[str] = frozenset()) -> Query:
    """Read the decoded pairs of a query string; names in `arguments` are a function's, not filters.

    Raises: RestError.
    """
    single: dict[str, str] = {}
    filters: list[Filter] = []
    given: list[tuple[str, str]] = []
    for name, value in pairs:
        if name in arguments:
            given.append((name, value))
        elif name in ("and", "or", "not.and", "not.or"):
            filters.append(_group(name, value))
        elif name in RESERVED:
            single[name] = value
        else:
            filters.append(_condition(name, value))
    return Query(
        select=_parse("select", single["select"]) if single.get("select") else (Item(Field("*")),),
        filters=tuple(filters),
        order=_parse("order", single["order"]) if single.get("order") else (),
        limit=_number(single, "limit"),
        offset=_number(single, "offset") or 0,
        columns=_parse("columns", single["columns"]) if single.get("columns") else None,
        on_conflict=_parse("columns", single["on_conflict"]) if single.get("on_conflict") else None,
        arguments=tuple(given),
    )


def _number(single: dict[str, str], name: str) -> int | None:
    text = single.get(name)
    if text is None:
        return None
    try:
        number = int(text)
    except ValueError:
        return None  # as the real server, which drops what it cannot read
    if number < 0 and name == "limit":
        details = "Limit should be greater than or equal to zero."
        raise RestError(416, "PGRST103", "Requested range not satisfiable", details)
    return max(number, 0)


def _condition(name: str, value: str) -> Condition:
    field = cast(Field, _parse("field", name))
    operator, values, negated, quantifier = _parse("predicate", value)
    return Condition(field, operator, values, negated, quantifier)


def _group(name: str, value: str) -> Group:
    joiner = "or" if name.endswith("or") else "and"
    return Group(cast(Any, joiner), _parse("tree", value), name.startswith("not."))


@lru_cache(maxsize=4096)
def _parse(start: str, text: str) -> Any:
    try:
        return _Reader().transform(_grammar().parse(text, start=start))
    except UnexpectedInput as error:
        raise _syntax_error(start, text, error) from None
    except VisitError as error:
        raise error.orig_exc from None


@cache
def _grammar() -> Lark:
    text = Path(__file__).with_name("query.lark").read_text(encoding="utf-8")
    return Lark(text, parser="lalr", start=STARTS, maybe_placeholders=False)


@v_args(inline=True)
class _Reader(Transformer[Token, Any]):
    """Turns the parse tree into values, leaves first."""

    def name(self, text: str) -> str:
        return str(text).strip()

    def quoted(self, text: str) -> str:
        plain, escaped = [], False
        for letter in text[1:-1]:
            if letter == "\\" and not escaped:
                escaped = True
            else:
                plain.append(letter)
                escaped = False
        return "".join(plain)

    def step(self, arrow: Token, key: str) -> Step:
        return Step(cast(Any, str(arrow)), key)

    def field(self, name: str, *path: Step) -> Field:
        return Field(name, path)

    def star(self) -> Field:
        return Field("*")

    def alias(self, name: str) -> tuple[str, str]:
        return ("alias", name)

    def cast(self, name: Token) -> tuple[str, str]:
        return ("cast", str(name).strip())

    def item(self, *parts: Any) -> Item:
        named: dict[str, str] = dict(part for part in parts if isinstance(part, tuple))
        field = next(part for part in parts if isinstance(part, Field))
        return Item(field, named.get("alias"), named.get("cast"))

    def embed(self, *parts: Any) -> Item:
        name = next(part for part in parts if isinstance(part, str) and not isinstance(part, Token))
        raise RestError(
            400,
            "PGRST200",
            f"Could not find a relationship to '{name}' in the schema cache",
            "Embedding related tables is not implemented by the embedded stack.",
        )

    def aggregate(self, *_parts: Any) -> Item:
        raise RestError(400, "PGRST123", "Use of aggregate functions is not allowed")

    def select(self, *items: Item) -> tuple[Item, ...]:
        return items

    def columns(self, *names: str) -> tuple[str, ...]:
        return names

    def term(self, field: Field, *words: Token) -> Order:
        said = {word.type: str(word)[1:] for word in words}
        return Order(field, cast(Any, said.get("DIRECTION")), cast(Any, said.get("NULLS")))

    def order(self, *terms: Order) -> tuple[Order, ...]:
        return terms

    def negation(self, _word: Token) -> str:
        return "not"

    def quantifier(self, word: Token) -> str:
        return str(word)[1:-1]

    def rest(self, *text: Token) -> str:
        return "".join(text)

    element = inner_value = rest

    def truth(self, _word: Token, value: str) -> tuple[str, tuple[str, ...], str | None]:
        if value.lower() not in TRUTHS:
            raise _unknown_operator(f"is.{value}")
        return ("is", (value.lower(),), None)

    def listed(self, _word: Token, *elements: str) -> tuple[str, tuple[str, ...], str | None]:
        return ("in", () if elements == ("",) else elements, None)

    def compare(self, operator: Token, *parts: str) -> tuple[str, tuple[str, ...], str | None]:
        quantifier = parts[0] if len(parts) > 1 else None
        return (str(operator), (parts[-1],), quantifier)

    def predicate(self, *parts: Any) -> tuple[str, tuple[str, ...], bool, str | None]:
        operator, values, quantifier = parts[-1]
        return operator, values, len(parts) > 1, quantifier

    def condition(self, field: Field, *parts: Any) -> Condition:
        operator, values, quantifier = parts[-1]
        return Condition(field, operator, values, len(parts) > 1, quantifier)

    def group(self, *parts: Any) -> Group:
        joiner = next(str(part) for part in parts if isinstance(part, Token) and part.type == "JOINER")
        return Group(cast(Any, joiner), parts[-1], isinstance(parts[0], Token) and parts[0].type == "NOT_GROUP")

    def tree(self, *members: Filter) -> tuple[Filter, ...]:
        return members


WORDS = {
    "columns": "columns parameter",
    "select": "select parameter",
    "order": "order",
    "predicate": "filter",
    "tree": "logic tree",
    "field": "filter",
}


def _syntax_error(start: str, text: str, error: UnexpectedInput) -> RestError:
    column = max(getattr(error, "column", 1), 1)
    if start == "predicate" and column == 1:
        return _unknown_operator(text)
    found = f'unexpected "{text[column - 1]}"' if column <= len(text) else "unexpected end of input"
    message = f'"failed to parse {WORDS[start]} ({text})" (line 1, column {column})'
    return RestError(400, "PGRST100", message, found)


def _unknown_operator(text: str) -> RestError:
    found = f'unexpected "{text[0]}"' if text else "unexpected end of input"
    message = f'"failed to parse filter ({text})" (line 1, column 1)'
    return RestError(400, "PGRST100", message, f'{found} expecting "not" or operator (eq, gt, ...)')
