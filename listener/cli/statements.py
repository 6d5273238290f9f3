"""How a command calls one of our functions in the database itself: written as a person would, run or only shown.

Knows literals of SQL; does not know the functions.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from listener.adapters.database import open_database
from listener.cli.connecting import database_url
from listener.cli.statuses import exit_statuses


def call_of(function: str, first: str, options: Mapping[str, Any]) -> str:
    """The call of a function with its first argument and the options that were given."""
    given = [f"{name} => {_literal(value)}" for name, value in options.items() if value is not None]
    return f"select {function}({', '.join([_text(first), *given])})"


def done_in_database(url: str | None, statement: str, *, kept: bool = True) -> Any:
    """Run a statement in the database of the option or of DATABASE_URL; its one value.

    Raises: ConfigError, SystemExit.
    """
    with exit_statuses("the database"):
        return asyncio.run(_run(database_url(url), statement, kept=kept))


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return f"array[{', '.join(_text(word) for word in value)}]::text[]"
    return _text(json.dumps(value) if isinstance(value, dict) else value)


def _text(words: str) -> str:
    # E'' reads the same whatever standard_conforming_strings says.
    if "\\" in words:
        return "E'" + words.replace("\\", "\\\\").replace("'", "''") + "'"
    return "'" + words.replace("'", "''") + "'"


async def _run(url: str, statement: str, *, kept: bool) -> Any:
    async with open_database(url) as database:
        return await database.value(statement, kept=kept)
