"""`listener ledger`: an owner's entries with the running balance."""

from __future__ import annotations

from uuid import UUID

import click

from listener.adapters.operator import LedgerEntry
from listener.cli.operating import operate, table_of

HEADS = ("at", "entry", "amount", "balance", "session or key", "reason")


@click.command()
@click.argument("owner", type=click.UUID)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many, the newest.")
def ledger(owner: UUID, limit: int) -> None:
    """Show the entries of OWNER (the id of a user or a store), oldest first, each with the balance after it.

    Exit status: 0 (also without an account), 1 refused, 69 the project does not answer, 78 settings.
    """
    entries = operate(lambda operator: operator.ledger(owner, limit))
    if not entries:
        click.echo("no account yet: it opens, with the welcome grant, at the first session or grant")
        return
    click.echo(table_of([_row(entry) for entry in reversed(entries)], HEADS))


def _row(entry: LedgerEntry) -> tuple[object, ...]:
    at = entry.at.isoformat(sep=" ", timespec="seconds")
    what = entry.session or entry.key.removeprefix(f"{entry.entry}:")
    return (at, entry.entry, entry.amount, entry.balance, what, entry.reason)
