"""How a command with a database connection is configured; a worker has none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from listener.access import DatabaseSettings
from listener.errors import ConfigError
from listener.telemetry.redact import hide_secrets

database_option: Callable[[Any], Any] = click.option(
    "--database-url",
    "url",
    metavar="URL",
    help="postgresql:// of the project; implies --apply. The variable DATABASE_URL keeps the password off the screen.",
)


def database_url(given: str | None) -> str:
    """The URL of the option, else of DATABASE_URL; hidden from everything that is said from here on.

    Raises: ConfigError.
    """
    settings = DatabaseSettings()
    url = given or (settings.database_url.get_secret_value() if settings.database_url else None)
    if not url:
        raise ConfigError("DATABASE_URL is missing: the postgresql:// of your project (dashboard, Connect)")
    hide_secrets([url])
    return url
