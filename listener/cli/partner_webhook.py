"""`listener partner-webhook`: where a store hears of its finished sessions, and what proves that it was us."""

from __future__ import annotations

from uuid import UUID

import click

from listener.adapters.destinations import destination_of
from listener.cli.operating import operate
from listener.cli.statuses import REFUSED
from listener.errors import Unusable
from listener.settings import load_settings

NONE_YET = "this store has no webhook: `listener partner-webhook set STORE URL`"


@click.group("partner-webhook")
def partner_webhook() -> None:
    """Say where a store hears of its finished sessions."""


@partner_webhook.command("set")
@click.argument("store", type=click.UUID)
@click.argument("url")
@click.option("--off", is_flag=True, help="Keep the entry, and send nothing.")
def set_url(store: UUID, url: str, off: bool) -> None:
    """Tell URL of every session of STORE that ends from now on; shows the secret the first time, once.

    Says so when a worker with these settings would send nothing there.

    Exit status: 0, 1 refused, 69 the project does not answer, 78 settings.
    """
    secret = operate(lambda operator: operator.stores.set_webhook(store, url, active=not off))
    click.echo(secret or "changed; its secrets stay")
    try:
        destination_of(url, load_settings().fetch_policy())
    except Unusable as unusable:
        click.echo(f"warning: a worker with these settings sends nothing there: the URL {unusable.problem}", err=True)


@partner_webhook.command("rotate")
@click.argument("store", type=click.UUID)
def rotate(store: UUID) -> None:
    """Give STORE's webhook a new secret and show it, once; the one before it signs too until the next rotation.

    Exit status: 0, 1 refused or no webhook, 69 the project does not answer, 78 settings.
    """
    secret = operate(lambda operator: operator.stores.rotate_secret(store))
    if secret is None:
        click.echo(NONE_YET, err=True)
        raise SystemExit(REFUSED)
    click.echo(secret)


@partner_webhook.command("show")
@click.argument("store", type=click.UUID)
def show(store: UUID) -> None:
    """Show where STORE's webhooks go; never a secret.

    Exit status: 0, 1 refused, 69 the project does not answer, 78 settings.
    """
    hook = operate(lambda operator: operator.stores.report(store, 0)).webhook
    if hook is None:
        click.echo(NONE_YET)
        return
    state = "on" if hook.active else "off"
    click.echo(
        f"{hook.url}: {state} since {str(hook.changed_at)[:19]} at the latest, signed by {hook.secrets} secret(s)"
    )
