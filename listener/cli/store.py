"""`listener store`: stores are owners of their own, with credits, keys and webhooks."""

from __future__ import annotations

import click

from listener.cli.operating import operate, table_of

HEADS = ("store", "created", "name")


@click.group()
def store() -> None:
    """Make stores, and list them."""


@store.command("create")
@click.argument("name")
def create(name: str) -> None:
    """Make a store called NAME; its id is what `grant`, `keys` and `partner-webhook` ask for.

    Exit status: 0, 1 refused, 69 the project does not answer, 78 settings.
    """
    made = operate(lambda operator: operator.stores.create(name))
    click.echo(made.id)


@store.command("list")
def show() -> None:
    """Show all stores, the oldest first.

    Exit status: 0, 1 refused, 69 the project does not answer, 78 settings.
    """
    stores = operate(lambda operator: operator.stores.all())
    rows: list[tuple[object, ...]] = [(one.id, str(one.created_at)[:19], one.name) for one in stores]
    click.echo(table_of(rows, HEADS) if rows else "no store yet: `listener store create NAME`")
