"""`listener webhook`: where the database sends its signed wake-ups.

Knows the two calls; the secret is made by the database and shown once.
"""

from __future__ import annotations

import click

from listener.cli.connecting import database_option
from listener.cli.statements import call_of, done_in_database


@click.group()
def webhook() -> None:
    """Say where the database sends a wake-up when sessions arrive (needs DATABASE_URL and pg_net)."""


@webhook.command("set")
@click.argument("place", metavar="URL")
@click.option("--kinds", help="Only for these kinds, with commas between; for all when absent.")
@click.option("--timeout-ms", type=click.IntRange(100, 60_000), help="How long an answer may take; 2000 when absent.")
@database_option
def set_url(place: str, kinds: str | None, timeout_ms: int | None, url: str | None) -> None:
    """Send signed wake-ups to URL, https://worker/hooks/supabase; shows the secret that the worker needs.

    Called again for the URL, it changes the entry and its secret. Exit status: 0, 1 refused, 69 the database does not
    answer, 78 settings.
    """
    words = [word.strip() for word in kinds.split(",") if word.strip()] if kinds is not None else None
    statement = call_of("listener.set_webhook", place, {"kinds": words, "timeout_ms": timeout_ms})
    secret = done_in_database(url, statement)
    click.echo(f"LISTENER_WEBHOOK_SECRETS={secret}")


@webhook.command("clear")
@click.argument("place", metavar="URL")
@database_option
def clear(place: str, url: str | None) -> None:
    """Send URL nothing any more.

    Exit status: 0 (also when nothing was sent there), 1 refused, 69 the database does not answer, 78 settings.
    """
    dropped = done_in_database(url, call_of("listener.drop_webhook", place, {}))
    click.echo("cleared" if dropped else "nothing was sent there")
