"""Calls of an operation as curl makes them, which run as they stand once the shell's variables are set.

Knows the shell's quoting; does not know schemas.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from listener.http.openapi.operation import JSON, Described, Who

VARIABLES = {
    "SESSION": "8d8fd276-1acb-54e2-81b5-c68441fc04f6",
    "CHARACTER": "684efbe9-d45d-5fe1-acda-7b7b675e3b14",
    "JOB": "ac12e74a-f2c9-5137-ac1a-03797a6880f8",
    "AVATAR": "5e0c1d7e-8a55-4f0e-9c5c-2f0f7c1f9f11",
    "PICTURE": "https://shop.example/person.jpg",
    "WEBHOOK_SECRET": "a secret of at least 16 characters",
}
"""What a reader puts into his shell, and what stands in the document's examples for it."""
CREDENTIALS = {Who.STORE: "KEY", Who.USER: "TOKEN", Who.OPERATOR: "API_KEY"}
SHORT_CHARS = 72
_VARIABLE = re.compile(rf"\$({'|'.join(VARIABLES)})\b")


def as_examples(example: Any) -> Any:
    """An example with values for its variables."""
    if isinstance(example, str):
        return _VARIABLE.sub(lambda found: VARIABLES[found[1]], example)
    if isinstance(example, Mapping):
        return {name: as_examples(value) for name, value in example.items()}
    return [as_examples(value) for value in example] if isinstance(example, (list, tuple)) else example


def curl_of(method: str, path: str, operation: Described) -> str:
    """One command over a few lines."""
    for parameter in operation.parameters:
        if parameter.place == "path":
            path = path.replace(f"{{{parameter.name}}}", str(parameter.example or parameter.name))
    path += _query(operation)
    parts = [f'curl "$URL{path}"' if method == "get" else f'curl -X {method.upper()} "$URL{path}"']
    if operation.who:
        parts.append(f'-H "Authorization: Bearer ${CREDENTIALS[operation.who[0]]}"')
    for parameter in operation.parameters:
        if parameter.place == "header" and parameter.example is not None:
            parts.append(f'-H "{parameter.name}: {parameter.example}"')
    parts += _body(operation)
    return " \\\n  ".join(parts)


def _query(operation: Described) -> str:
    given = {one.name: one.example for one in operation.parameters if one.place == "query" and one.example is not None}
    return f"?{urlencode(given)}" if given else ""


def _body(operation: Described) -> list[str]:
    takes = operation.takes
    if takes is None or takes.example is None:
        return []
    if takes.content_type == JSON:
        return ['-H "Content-Type: application/json"', f"-d {_quoted(_lines(takes.example))}"]
    return [f"-F {shlex.quote(f'{name}={value}')}" for name, value in takes.example.items()]


def _lines(example: Any) -> str:
    """JSON on a line of its own for each field, when it is long."""
    short = json.dumps(example, ensure_ascii=False)
    if len(short) <= SHORT_CHARS or not isinstance(example, Mapping):
        return short
    fields = (f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in example.items())
    return "{{\n    {}}}".format(",\n    ".join(fields))


def _quoted(text: str) -> str:
    """In single quotes, variables outside of them."""
    parts = re.split(rf"(\$(?:{'|'.join(VARIABLES)})\b)", text)
    return "".join(f'"{part}"' if number % 2 else shlex.quote(part) for number, part in enumerate(parts))
