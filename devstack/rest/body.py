"""Reads the body of a request: JSON, CSV or a form, as JSON; or, for a function of one unnamed argument, as it is."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import hdrs, web

from devstack.rest.errors import RestError

JSON = "application/json"
JSONS = (JSON, "application/vnd.pgrst.object+json", "application/vnd.pgrst.array+json")
CSV = "text/csv"
FORM = "application/x-www-form-urlencoded"
RAW = {"text/plain": "text", "text/xml": "xml", "application/octet-stream": "bytea"}
"""Types that only a function takes, and the type of its unnamed argument."""


@dataclass(frozen=True, slots=True)
class Body:
    """A body as JSON text and parsed; for one of the RAW types `raw_type` is set, and the text is what was sent."""

    text: str
    value: Any
    raw_type: str | None = None
    is_json: bool = True

    @property
    def names(self) -> frozenset[str]:
        """The keys of its object, or of its first one."""
        one = self.value[0] if isinstance(self.value, list) and self.value else self.value
        return frozenset(one) if isinstance(one, dict) else frozenset()


async def read_body(http: web.Request, *, for_function: bool = False) -> Body:
    """The body; a function may be called without any.

    Raises: RestError PGRST102.
    """
    kind = http.headers.get(hdrs.CONTENT_TYPE, JSON).partition(";")[0].strip().lower()
    raw = await http.read()
    if for_function and kind in RAW:
        text = "\\x" + raw.hex() if RAW[kind] == "bytea" else _decoded(raw)
        return Body(text, None, RAW[kind], is_json=False)
    if for_function and not raw and kind in JSONS:
        return Body("{}", {})
    if kind in JSONS:
        return _json(_decoded(raw))
    if kind == CSV:
        rows = _csv_rows(_decoded(raw))
        return Body(json.dumps(rows), rows, is_json=False)
    if kind == FORM:
        fields = dict(parse_qsl(_decoded(raw), keep_blank_values=True))
        return Body(json.dumps(fields), fields, is_json=False)
    raise RestError(400, "PGRST102", f"Content-Type not acceptable: {kind}")


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except ValueError:
        raise _invalid() from None


def _json(text: str) -> Body:
    try:
        return Body(text, json.loads(text, parse_constant=_no_constant))
    except (ValueError, RecursionError):
        raise _invalid() from None


def _invalid() -> RestError:
    return RestError(400, "PGRST102", "Empty or invalid json")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _csv_rows(text: str) -> list[dict[str, str | None]]:
    """Each line by the names of the first; NULL without quotes or with is null, as PostgREST reads it.

    Raises: RestError PGRST102 when a line has more or fewer fields.
    """
    lines = [line for line in csv.reader(io.StringIO(text, newline="")) if line]
    if not lines or any(len(line) != len(lines[0]) for line in lines):
        raise RestError(400, "PGRST102", "All lines must have same number of fields")
    return [
        {name: None if value == "NULL" else value for name, value in zip(lines[0], line, strict=True)}
        for line in lines[1:]
    ]
