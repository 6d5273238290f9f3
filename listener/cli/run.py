"""`listener run`: the daemon in the foreground, with signals and exit codes."""

from __future__ import annotations

import asyncio
import signal
import sys

import click

from listener.app import Daemon
from listener.errors import ConfigError
from listener.settings import Settings, load_settings
from listener.telemetry import log
from listener.telemetry.redact import hide_secrets


@click.command()
def run() -> None:
    """Run the worker. SIGTERM and Ctrl-C drain; a second one gives everything back at once.

    Exit status: 0 drained, 1 crashed, 78 wrong configuration.
    """
    settings = load_settings()
    hide_secrets(settings.secrets())
    log.configure(settings.log_level)
    try:
        asyncio.run(_serve(settings))
    except* ConfigError as problems:
        raise _first(problems) from None
    except* Exception as crash:  # noqa: BLE001 - the last stop before the exit code
        log.get("daemon").error("worker_crashed", exc_info=crash)
        sys.exit(1)


async def _serve(settings: Settings) -> None:
    daemon = Daemon(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.drain)
    await daemon.run()


def _first(group: BaseExceptionGroup[ConfigError]) -> ConfigError:
    """The first ConfigError of a nested group."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if not isinstance(error, ConfigError):
        raise TypeError(f"not a ConfigError: {error!r}")
    return error
