"""`listener deliveries`: what was sent to a store, and what came of it."""

from __future__ import annotations

from uuid import UUID

import click

from listener.adapters.stores import DeliveryAnswer
from listener.cli.operating import operate, table_of

HEADS = ("delivery", "session", "event", "status", "attempt", "created", "next", "answered", "problem")


@click.command()
@click.argument("store", type=click.UUID)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many, the newest.")
@click.option("--json", "as_json", is_flag=True, help="Print what the project answered.")
def deliveries(store: UUID, limit: int, as_json: bool) -> None:
    """Show the webhooks that were sent to STORE, the newest first.

    Exit status: 0, 1 refused, 69 the project does not answer, 78 settings.
    """
    report = operate(lambda operator: operator.stores.report(store, limit))
    if as_json:
        click.echo(report.model_dump_json(indent=2))
    else:
        click.echo(table_of([_row(one) for one in report.deliveries], HEADS) if report.deliveries else "nothing yet")


def _row(one: DeliveryAnswer) -> tuple[object, ...]:
    due = str(one.next_at)[:19] if one.next_at is not None else "-"
    answered = one.last_status if one.last_status is not None else "-"
    ids = (one.delivery, one.session, one.event, one.status, one.attempt)
    return (*ids, str(one.created_at)[:19], due, answered, one.last_error or "")
