"""Makes two answers comparable: what no two runs share is replaced by its kind.

Knows ids, times, tokens, dates and hosts; not which part of an answer matters.
"""

from __future__ import annotations

import re
from typing import Any

MASKS = (
    (re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*"), "<token>"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE), "<uuid>"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d(:?\d\d)?)?"), "<time>"),
    (re.compile(r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"), "<date>"),
    (re.compile(r'"(exp|iat|nbf)":\s*\d+'), r'"\1":<epoch>'),
    (re.compile(r"\b(127\.0\.0\.1|localhost|\[::1\])(:\d+)?\b"), "<host>"),
)


def masked(text: str) -> str:
    """The text with every id, time, token, date and host replaced by its kind."""
    for pattern, kind in MASKS:
        text = pattern.sub(kind, text)
    return text


def masked_value(value: Any) -> Any:
    """A JSON value with every text in it masked, keys included; numbers stay."""
    match value:
        case str():
            return masked(value)
        case list():
            return [masked_value(item) for item in value]
        case dict():
            return {masked(str(name)): masked_value(item) for name, item in value.items()}
        case _:
            return value


def masked_headers(headers: Any, names: frozenset[str]) -> dict[str, str]:
    """The headers of these lower-case names, masked, by lower-case name."""
    return {name.lower(): masked(value) for name, value in headers.items() if name.lower() in names}
