"""What the query of a list says: which rows, how many, and the cursor of the page before.

Knows no database; the kinds that there are it is told.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from listener.api import Position
from listener.engine.validation import problems_of
from listener.errors import Unusable
from listener.http.openapi.shapes import Status
from listener.http.refusal import Refused
from listener.http.submissions import problem

CURSOR = r"^[A-Za-z0-9_-]{32}$"
FEW, MANY = 20, 100
_PACKED = struct.Struct(">q16s")
"""Microseconds since 1970, and the row's id."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def cursor_of(position: Position) -> str:
    """The text that a caller hands back to go on below a position."""
    packed = _PACKED.pack((position.created_at - _EPOCH) // timedelta(microseconds=1), position.id.bytes)
    return base64.urlsafe_b64encode(packed).decode()


def position_of(cursor: str) -> Position:
    """Where a cursor of ours points. Raises: Unusable."""
    if re.fullmatch(CURSOR, cursor):
        since_us, row_id = _PACKED.unpack(base64.urlsafe_b64decode(cursor))
        try:
            return Position(_EPOCH + timedelta(microseconds=since_us), UUID(bytes=row_id))
        except OverflowError:
            pass
    raise Unusable("is no cursor of ours", "give what `next` said, as it was, or leave it out for the newest")


class Page(BaseModel):
    """The query of a list."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True)

    kind: str | None = None
    status: Status | None = None
    limit: int = Field(FEW, ge=1, le=MANY)
    after: Annotated[Position | None, BeforeValidator(position_of)] = None


def page_of(query: Iterable[tuple[str, str]], kinds: Collection[str]) -> Page:
    """Read it. Raises: Refused (400), which names every parameter that cannot be used."""
    given: dict[str, str] = {}
    problems = []
    for name, value in query:
        if name in given:
            problems.append(problem(name, "repeated", "is there more than once", "give it once"))
        given[name] = value
    if given.get("kind") not in {None, *kinds}:
        remedy = f"give one of {', '.join(sorted(kinds))}, or leave it out" if kinds else "leave it out"
        problems.append(problem("kind", "unknown", "is no kind of yours", remedy))
    try:
        page = Page.model_validate(given)
    except ValidationError as error:
        problems += problems_of(error, "query")
    if problems:
        raise Refused(400, "INVALID_QUERY", "The query has a parameter that cannot be used.", None, fields=problems)
    return page
