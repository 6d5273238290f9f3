"""The exit status of a command whose store did not do what it was asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from listener.errors import KeyRefused, StoreRejected, StoreUnavailable
from listener.telemetry.redact import clean_text

REFUSED = 1
UNAVAILABLE = 69
"""EX_UNAVAILABLE of sysexits.h: what was asked does not answer."""


@contextmanager
def exit_statuses(asked: str) -> Iterator[None]:
    """Say in words what `asked` did not do, and end with the status for it."""
    try:
        yield
    except (KeyRefused, StoreRejected) as error:
        click.echo(f"{asked} refused: {clean_text(str(error))}", err=True)
        raise SystemExit(REFUSED) from None
    except StoreUnavailable as error:
        click.echo(f"{asked} does not answer: {clean_text(str(error))}", err=True)
        raise SystemExit(UNAVAILABLE) from None
