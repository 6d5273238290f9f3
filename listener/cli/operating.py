"""How an operator's command asks the project of the settings, and how it shows rows.

Knows no command.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from listener.adapters.operator import Operator, open_operator
from listener.cli.statuses import exit_statuses
from listener.settings import Settings, load_settings
from listener.telemetry.redact import hide_secrets

Answer = TypeVar("Answer")


def operate(work: Callable[[Operator], Awaitable[Answer]]) -> Answer:
    """Ask the project of the settings; words and an exit status when it does not answer as wanted.

    Raises: ConfigError, SystemExit.
    """
    settings = load_settings()
    hide_secrets(settings.secrets())
    with exit_statuses(settings.supabase_url):
        return asyncio.run(_asked(settings, work))


async def _asked(settings: Settings, work: Callable[[Operator], Awaitable[Answer]]) -> Answer:
    async with open_operator(settings.supabase_url, settings.supabase_service_role_key.get_secret_value()) as operator:
        return await work(operator)


def table_of(rows: list[tuple[object, ...]], heads: tuple[str, ...]) -> str:
    """Columns under their heads; numbers stand right."""
    cells = [heads, *(tuple(str(cell) for cell in row) for row in rows)]
    widths = [max(len(line[number]) for line in cells) for number in range(len(heads))]
    numbers = [bool(rows) and all(isinstance(row[number], int) for row in rows) for number in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numbers, strict=True)
        ).rstrip()
        for line in cells
    )
