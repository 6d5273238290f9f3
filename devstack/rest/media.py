"""The shapes an answer can have, chosen by the Accept header; PostgreSQL writes the body.

Knows nothing of which request is answered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from devstack.rest.errors import RestError

OBJECTS = ("application/vnd.pgrst.object+json", "application/vnd.pgrst.object")
ARRAYS = ("application/vnd.pgrst.array+json", "application/vnd.pgrst.array")
JSONS = ("*/*", "application/*", "application/json", *ARRAYS)


@dataclass(frozen=True, slots=True)
class Shape:
    """How rows are put into a body."""

    form: Literal["array", "object", "csv"]
    stripped: bool = False

    @property
    def is_object(self) -> bool:
        """Whether exactly one row is wanted."""
        return self.form == "object"

    @property
    def content_type(self) -> str:
        """What the answer calls itself."""
        if self.form == "csv":
            return "text/csv; charset=utf-8"
        stripped = ";nulls=stripped" if self.stripped else ""
        plain = OBJECTS[0] if self.form == "object" else ARRAYS[0] if self.stripped else "application/json"
        return f"{plain}{stripped}; charset=utf-8"

    def body(self, source: str) -> str:
        """The body of all rows of a source, as SQL of type text."""
        if self.form == "csv":
            return _csv(source)
        aggregate = f"json_agg({source})"
        if self.stripped:
            aggregate = f"json_strip_nulls({aggregate})"
        one, none = (f"{aggregate} -> 0", "null") if self.form == "object" else (aggregate, "[]")
        return f"coalesce({one}, '{none}')::text"


ARRAY = Shape("array")
OBJECT = Shape("object")


def shape_of(accept: str) -> Shape:
    """The first shape that the header accepts, by its weights.

    Raises: RestError PGRST107 when there is none.
    """
    kinds = [part.strip() for part in accept.split(",") if part.strip()]
    for kind in sorted(kinds, key=_weight, reverse=True):
        name, *parameters = (part.strip().lower() for part in kind.split(";"))
        stripped = "nulls=stripped" in parameters
        if name in OBJECTS:
            return Shape("object", stripped)
        if name in JSONS:
            return Shape("array", stripped and name in ARRAYS)
        if name == "text/csv":
            return Shape("csv")
    raise RestError(406, "PGRST107", f"None of these media types are available: {', '.join(kinds)}")


def _weight(kind: str) -> float:
    for parameter in kind.split(";")[1:]:
        name, _, value = parameter.strip().partition("=")
        if name == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _csv(source: str) -> str:
    """A line of names, then each row as PostgreSQL writes a record, without its parentheses."""
    names = (
        "(select coalesce(string_agg(_name, ','), '') from"
        " (select json_object_keys(_first) as _name from"
        " (select row_to_json(_row) as _first from _source as _row limit 1) as _one) as _names)"
    )
    record = f"substring({source}::text, 2, length({source}::text) - 2)"
    return f"{names} || E'\\n' || coalesce(string_agg({record}, E'\\n'), '')"
