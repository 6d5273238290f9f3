"""`listener grant`: credits for an owner, once per key."""

from __future__ import annotations

from uuid import UUID

import click

from listener.cli.operating import operate
from listener.cli.statuses import REFUSED

MOST_CREDITS = 1_000_000


@click.command()
@click.argument("owner", type=click.UUID)
@click.argument("amount", type=click.IntRange(1, MOST_CREDITS))
@click.option("--key", required=True, help="What the grant is for, once: an invoice, an incident. Again does nothing.")
@click.option("--reason", required=True, help="Words for the ledger.")
def grant(owner: UUID, amount: int, key: str, reason: str) -> None:
    """Give OWNER (the id of a user or a store) AMOUNT credits, once per key.

    Exit status: 0 applied or already, 1 refused, 69 the project does not answer, 78 settings.
    """
    answer = operate(lambda operator: operator.grant(owner, amount, key, reason))
    if answer.outcome == "refused":
        click.echo(f"refused: the key {key} was used for another owner or amount", err=True)
        raise SystemExit(REFUSED)
    click.echo(f"{answer.outcome}: balance {answer.balance}")
