"""How an endpoint says, beside its code, who may call it, what it takes and what it answers.

Knows OpenAPI's words and pydantic's types; reads no request. document.py makes the document of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from listener.http.openapi.refusals import REFUSALS, Refusal

JSON = "application/json"
_MARK = "__described__"

F = TypeVar("F", bound=Callable[..., Any])


class Who(StrEnum):
    """Whose credential opens an endpoint; several of them mean that any of them does."""

    STORE = "storeKey"
    USER = "userToken"
    OPERATOR = "operatorKey"


@dataclass(frozen=True, slots=True)
class Takes:
    """A request's body: a pydantic model or any type that pydantic reads; `refuses` are the codes of a wrong one."""

    model: Any
    limit_bytes: int
    content_type: str = JSON
    example: Any = None
    refuses: tuple[str, ...] = ("MALFORMED_JSON", "INVALID_PARAMS")


@dataclass(frozen=True, slots=True)
class Gives:
    """An answer that is no refusal. `headers` are names of headers.HEADERS beyond those that every answer has."""

    words: str
    model: Any = None
    headers: tuple[str, ...] = ()
    content_type: str = JSON
    example: Any = None


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the path or the query, or a header of the request."""

    name: str
    words: str
    place: str = "path"
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    example: str | int | None = None


IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    "The same request under the same key is the same row, made and paid once.",
    "header",
    {"type": "string", "pattern": r"^[\x20-\x7e]{1,255}$"},
    "order-4711",
)


@dataclass(frozen=True, slots=True)
class Described:
    """One operation of the document.

    `refuses` names what it alone refuses, by codes of refusals.py: what follows from `who`, `takes` and `asks` (it asks
    the project something, within a limit of time) is added to them. One that `is_per_kind` stands in the document once
    for each kind, which its own module says. `own_refusals` are codes that a package brings.
    """

    id: str
    summary: str
    group: str
    gives: Mapping[int, Gives]
    refuses: tuple[str, ...] = ()
    who: tuple[Who, ...] = ()
    takes: Takes | None = None
    parameters: tuple[Parameter, ...] = ()
    asks: bool = True
    words: str = ""
    is_per_kind: bool = False
    own_refusals: Mapping[str, Refusal] = field(default_factory=dict)

    def refusal(self, code: str) -> Refusal:
        """What a code means here."""
        return self.own_refusals[code] if code in self.own_refusals else REFUSALS[code]


def described(operation: Described) -> Callable[[F], F]:
    """Decorate the function that answers."""

    def mark(handler: F) -> F:
        setattr(handler, _MARK, operation)
        return handler

    return mark


def description_of(handler: object) -> Described | None:
    """What a function, or the method that it is of, was described as."""
    found = getattr(handler, _MARK, None)
    return found if isinstance(found, Described) else None
