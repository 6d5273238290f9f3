"""The type of an option that takes a JSON object."""

from __future__ import annotations

import json
from typing import Any

import click


class JsonObject(click.ParamType[dict[str, Any]]):
    """A JSON object, given as text; `example` ends the words of a refusal."""

    name = "json"

    def __init__(self, example: str = "") -> None:
        self._example = example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """Read it."""
        try:
            read = json.loads(value)
        except ValueError:
            read = None
        if not isinstance(read, dict):
            self.fail(f"must be a JSON object{self._example}", param, ctx)
        return read
