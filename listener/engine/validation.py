"""Checks a row's parameters before anything is paid for, and says per field what is wrong and what to give instead.

Knows pydantic's errors; does not know the fields of any kind.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from listener.contract import Handler, Session
from listener.errors import InvalidParams, Unusable

FIELDS_MAX = 20
FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")

REMEDIES = {
    "missing": "give a value",
    "string_type": "give a text",
    "string_too_short": "give at least {min_length} characters",
    "string_too_long": "give at most {max_length} characters",
    "string_pattern_mismatch": "give a text of the documented form",
    "int_type": "give a whole number",
    "int_parsing": "give a whole number",
    "int_from_float": "give a whole number",
    "int_parsing_size": "give a smaller number",
    "float_type": "give a number",
    "float_parsing": "give a number",
    "finite_number": "give a finite number",
    "bool_type": "give true or false",
    "bool_parsing": "give true or false",
    "greater_than": "give more than {gt}",
    "greater_than_equal": "give at least {ge}",
    "less_than": "give less than {lt}",
    "less_than_equal": "give at most {le}",
    "multiple_of": "give a multiple of {multiple_of}",
    "enum": "give {expected}",
    "literal_error": "give {expected}",
    "list_type": "give a list",
    "tuple_type": "give a list",
    "too_short": "give at least {min_length}",
    "too_long": "give at most {max_length}",
    "dict_type": "give an object",
    "model_type": "give an object",
    "uuid_type": "give a UUID",
    "uuid_parsing": "give a UUID",
    "url_type": "give a URL",
    "url_parsing": "give a URL with https:// and a host",
    "url_scheme": "give a URL that begins with {expected_schemes}",
    "extra_forbidden": "leave this field out",
}
"""pydantic's type of error -> what to do about it; the names in braces come with the error."""
WORDS = {
    "union_tag_invalid": "the kind of this object is unknown",
    "json_invalid": "is not JSON",
    "list_type": "is not a list",
    "tuple_type": "is not a list",
    "dict_type": "is not an object",
    "model_type": "is not an object",
    "too_short": "has fewer than {min_length}",
    "too_long": "has more than {max_length}",
}
"""In place of pydantic's own message, which quotes what was given or speaks of Python's types."""


def validated(handler: Handler[Any], session: Session) -> BaseModel:
    """Check the row's parameters.

    Raises: InvalidParams; it names the fields, the rules and the remedies, never the values.
    """
    try:
        params: BaseModel = handler.Params.model_validate(dict(session.params))
    except ValidationError as error:
        fields = problems_of(error)
        raise InvalidParams(
            f"{', '.join(problem['field'] for problem in fields)} cannot be used",
            details={"field": fields[0]["field"], "remedy": fields[0]["remedy"], "fields": fields},
        ) from None
    return params


def problems_of(error: ValidationError, whole: str = "row") -> list[dict[str, str]]:
    """Flatten pydantic's errors, in the order of the fields; `whole` is what is at fault when no field of it is."""
    problems = error.errors(include_url=False, include_input=False)[:FIELDS_MAX]
    return [_described(problem, whole) for problem in problems]


def _described(problem: ErrorDetails, whole: str) -> dict[str, str]:
    place, kind, context = problem["loc"], problem["type"], problem.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, Unusable):
        message, remedy = str(cause), cause.remedy
    else:
        bounds = _Bounds(context)
        message = WORDS[kind].format_map(bounds) if kind in WORDS else problem["msg"].removeprefix("Value error, ")
        remedy = REMEDIES.get(kind, InvalidParams.remedy).format_map(bounds)
    return {
        "field": ".".join(_named(part) for part in place) or whole,
        "rule": kind,
        "message": message,
        "remedy": remedy,
    }


def _named(part: int | str) -> str:
    """Part of a field's place; a key that somebody typed is not repeated."""
    return str(part) if isinstance(part, int) or FIELD.fullmatch(part) else "?"


class _Bounds(dict[str, Any]):
    """What comes with an error, as people write it."""

    def __getitem__(self, name: str) -> object:
        value = self.get(name, "another value")
        return f"{value:g}" if isinstance(value, float) else value
