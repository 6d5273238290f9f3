"""Reads one text of a query string by the grammar in query.lark; knows nothing of how the texts hang together."""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path
from typing import Any, cast

from lark import Lark, Token, Transformer, UnexpectedInput, v_args
from lark.exceptions import VisitError

from devstack.rest.errors import RestError
from devstack.rest.model import Condition, Embed, Field, Filter, Group, Item, Order, Query, Step

STARTS = ["columns", "select", "order", "predicate", "tree", "path"]
MOST_DIGITS = 20  # of a place in an array; Python reads no number of thousands of them
TRUTHS = frozenset(("null", "not_null", "true", "false", "unknown"))
WORDS = {
    "columns": "columns parameter",
    "select": "select parameter",
    "order": "order",
    "predicate": "filter",
    "tree": "logic tree",
    "path": "tree path",
}


@lru_cache(maxsize=4096)
def read(start: str, text: str) -> Any:
    """What a text says, read as one of STARTS.

    Raises: RestError PGRST100 in PostgREST's words.
    """
    try:
        return _Reader().transform(_grammar().parse(text, start=start))
    except UnexpectedInput as error:
        raise _syntax_error(start, text, error) from None
    except VisitError as error:
        raise error.orig_exc from None


def is_predicate(text: str) -> bool:
    """Whether the text is a filter's."""
    try:
        read("predicate", text)
    except RestError:
        return False
    return True


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

    def index(self, text: str) -> int:
        # PostgreSQL's words: the driver would refuse the number in its own.
        if len(text) > MOST_DIGITS or not -(2**31) <= int(text) < 2**31:
            raise RestError(400, "22003", f'value "{text}" is out of range for type integer')
        return int(text)

    def step(self, arrow: Token, key: str | int) -> Step:
        return Step(cast(Any, str(arrow)), key)

    def field(self, name: str, *path: Step) -> Field:
        return Field(name, path)

    def path(self, *parts: str | Step) -> tuple[tuple[str, ...], Field]:
        names = [part for part in parts if isinstance(part, str)]
        steps = tuple(part for part in parts if isinstance(part, Step))
        return tuple(names[:-1]), Field(names[-1], steps)

    def star(self, _word: Token) -> Field:
        return Field("*")

    def alias(self, name: str) -> tuple[str, str]:
        return ("alias", name)

    def cast(self, name: Token) -> tuple[str, str]:
        return ("cast", str(name).strip())

    def hint(self, name: str) -> tuple[str, str]:
        return ("join", name) if name in ("inner", "left") else ("hint", name)

    def item(self, *parts: Any) -> Item:
        named: dict[str, str] = dict(part for part in parts if isinstance(part, tuple))
        field = next(part for part in parts if isinstance(part, Field))
        return Item(field, named.get("alias"), named.get("cast"))

    def embed(self, *parts: Any) -> Embed:
        *before, select = parts
        named: dict[str, str] = dict(part for part in before if isinstance(part, tuple))
        spread = isinstance(before[0], Token)
        name = next(part for part in before if isinstance(part, str) and not isinstance(part, Token))
        if name == "count" and not select:
            raise _aggregate()
        return Embed(name, Query(select), named.get("alias"), named.get("hint"), named.get("join") == "inner", spread)

    def aggregate(self, *_parts: Any) -> Any:
        raise _aggregate()

    def select(self, *entries: Item | Embed) -> tuple[Item | Embed, ...]:
        return entries

    def columns(self, *names: str) -> tuple[str, ...]:
        return names

    def term(self, field: Field, *words: Token) -> Order:
        said = {word.type: str(word)[1:] for word in words}
        return Order(field, cast(Any, said.get("DIRECTION")), cast(Any, said.get("NULLS")))

    def related_term(self, relation: str, field: Field, *words: Token) -> Order:
        said = {word.type: str(word)[1:] for word in words}
        return Order(field, cast(Any, said.get("DIRECTION")), cast(Any, said.get("NULLS")), relation)

    def order(self, *terms: Order) -> tuple[Order, ...]:
        return terms

    def negation(self, _word: Token) -> str:
        return "not"

    def quantifier(self, word: Token) -> str:
        return str(word)[1:-1]

    def rest(self, *text: Token) -> str:
        return "".join(text)

    element = inner_value = rest

    def truth(self, _word: Token, value: str) -> dict[str, Any]:
        if value.lower() not in TRUTHS:
            raise unknown_operator(f"is.{value}")
        return {"operator": "is", "values": (value.lower(),)}

    def listed(self, _word: Token, *elements: str) -> dict[str, Any]:
        return {"operator": "in", "values": () if elements == ("",) else elements}

    def text_search(self, operator: Token, *parts: Any) -> dict[str, Any]:
        language = str(parts[0])[1:-1] if len(parts) > 1 else None
        return {"operator": str(operator), "values": (parts[-1],), "language": language}

    def compare(self, operator: Token, *parts: str) -> dict[str, Any]:
        return {
            "operator": str(operator),
            "values": (parts[-1],),
            "quantifier": parts[0] if len(parts) > 1 else None,
        }

    def predicate(self, *parts: Any) -> dict[str, Any]:
        return {**parts[-1], "negated": len(parts) > 1}

    def condition(self, field: Field, *parts: Any) -> Condition:
        return Condition(field, negated=len(parts) > 1, **parts[-1])

    def group(self, *parts: Any) -> Group:
        joiner = next(str(part) for part in parts if isinstance(part, Token) and part.type == "JOINER")
        return Group(cast(Any, joiner), parts[-1], isinstance(parts[0], Token) and parts[0].type == "NOT_GROUP")

    def tree(self, *members: Filter) -> tuple[Filter, ...]:
        return members


def _aggregate() -> RestError:
    return RestError(400, "PGRST123", "Use of aggregate functions is not allowed")


def _syntax_error(start: str, text: str, error: UnexpectedInput) -> RestError:
    column = max(getattr(error, "column", 1), 1)
    if start == "predicate" and column == 1:
        return unknown_operator(text)
    found = f'unexpected "{text[column - 1]}"' if column <= len(text) else "unexpected end of input"
    message = f'"failed to parse {WORDS[start]} ({text})" (line 1, column {column})'
    return RestError(400, "PGRST100", message, found)


def unknown_operator(text: str) -> RestError:
    """A filter that begins with no operator."""
    found = f'unexpected "{text[0]}"' if text else "unexpected end of input"
    message = f'"failed to parse filter ({text})" (line 1, column 1)'
    return RestError(400, "PGRST100", message, f'{found} expecting "not" or operator (eq, gt, ...)')
