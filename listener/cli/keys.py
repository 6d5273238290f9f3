"""`listener keys`: the API keys of stores. A key is shown once, when it is made; nobody keeps it but its holder."""

from __future__ import annotations

from uuid import UUID

import click

from listener.adapters.stores import KeyAnswer
from listener.cli.operating import operate, table_of
from listener.cli.statuses import REFUSED

HEADS = ("key", "begins with", "name", "per minute", "today", "refused today", "created", "last used", "revoked")
USAGE = ("day", "key", "name", "requests", "refused")
MOST_DAYS = 400
PER_MINUTE = 60
MOST_PER_MINUTE = 100_000


@click.group()
def keys() -> None:
    """Make, list, count and revoke the API keys of stores."""


@keys.command("create")
@click.option("--store", type=click.UUID, required=True, help="The store's id: `listener store list`.")
@click.option("--name", required=True, help="What it is for, to tell keys apart.")
@click.option(
    "--per-minute",
    type=click.IntRange(1, MOST_PER_MINUTE),
    default=PER_MINUTE,
    show_default=True,
    help="Requests that it may make in a minute.",
)
def create(store: UUID, name: str, per_minute: int) -> None:
    """Make a key and show it, once.

    Exit status: 0, 1 refused, 69 the project does not answer, 78 settings.
    """
    made = operate(lambda operator: operator.stores.create_key(store, name, per_minute))
    click.echo(made.key)
    click.echo(f"key {made.id}: keep it now, nobody can show it again", err=True)


@keys.command("list")
@click.option("--store", type=click.UUID, required=True, help="The store's id.")
def show(store: UUID) -> None:
    """Show a store's keys, revoked ones too; never a key itself.

    Exit status: 0, 1 refused, 69 the project does not answer, 78 settings.
    """
    found = operate(lambda operator: operator.stores.keys(store))
    click.echo(table_of([_row(one) for one in found], HEADS) if found else "no key yet: `listener keys create`")


@keys.command("usage")
@click.option("--store", type=click.UUID, required=True, help="The store's id.")
@click.option("--days", type=click.IntRange(1, MOST_DAYS), default=30, show_default=True, help="UTC days, today too.")
def usage(store: UUID, days: int) -> None:
    """Show how often each key was used on each day: accepted requests, and those beyond its limit.

    Exit status: 0, 1 refused, 69 the project does not answer, 78 settings.
    """
    found = operate(lambda operator: operator.stores.usage(store, days))
    rows: list[tuple[object, ...]] = [(one.day, one.key, one.name, one.requests, one.refused) for one in found]
    click.echo(table_of(rows, USAGE) if rows else f"no request within {days} days")


@keys.command("revoke")
@click.argument("key", type=click.UUID)
def revoke(key: UUID) -> None:
    """Let KEY (its id) open nothing any more, from the next request on.

    Exit status: 0, 1 refused, 69 the project does not answer, 78 settings.
    """
    outcome = operate(lambda operator: operator.stores.revoke_key(key))
    if outcome == "unknown":
        click.echo("refused: there is no such key (its id, not the key itself)", err=True)
        raise SystemExit(REFUSED)
    click.echo("revoked" if outcome == "applied" else "already revoked")


def _row(one: KeyAnswer) -> tuple[object, ...]:
    times = [str(at)[:19] if at is not None else "-" for at in (one.created_at, one.last_used_at, one.revoked_at)]
    return (one.key, one.prefix, one.name, one.per_minute, one.requests_today, one.refused_today, *times)
