"""`listener run`: the daemon in the foreground, with signals and exit codes."""

from __future__ import annotations

import asyncio
import signal
import sys

import click

from listener.app import Daemon
from listener.errors import ConfigError
from listener.http.server import CannotListenError
from listener.settings import Settings, load_settings
from listener.surroundings import surroundings
from listener.telemetry import log
from listener.telemetry.redact import hide_secrets


@click.command()
def run() -> None:
    """Run the worker. SIGTERM and Ctrl-C drain; a second one gives everything back at once.

    Exit status: 0 drained, 1 crashed, 57 the database is newer than this worker, 78 wrong configuration.
    """
    settings = load_settings()
    hide_secrets(settings.secrets())
    log.configure(settings.log_level)
    try:
        asyncio.run(_serve(settings))
    except CannotListenError as refused:
        remedy = "does a worker run here already? LISTENER_HTTP_HOST and LISTENER_HTTP_PORT name another address"
        log.get("daemon").error("worker_cannot_listen", reason=refused.strerror, remedy=remedy)
        sys.exit(1)
    except Exception as crash:  # noqa: BLE001 - the last stop before the exit code
        if (problem := config_error_in(crash)) is not None:
            raise problem from None
        log.get("daemon").error("worker_crashed", exc_info=crash, surroundings=surroundings(settings))
        sys.exit(1)


async def _serve(settings: Settings) -> None:
    daemon = Daemon(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.drain)
    await daemon.run()


def config_error_in(error: BaseException) -> ConfigError | None:
    """The ConfigError that brought the daemon down, however deep in groups of tasks it was raised."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(config_error_in, error.exceptions)), None)
    return error if isinstance(error, ConfigError) else None
