"""`listener clean`: remove what nobody needs any more, or show what that would be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import uuid4

import click

from listener.adapters.supabase_clients import open_clients
from listener.cleaners import cleaner
from listener.cli.statuses import exit_statuses
from listener.elsewhere import elsewhere_of
from listener.errors import StoreRejected
from listener.leftovers import Leftover
from listener.settings import Settings, load_settings
from listener.telemetry.redact import hide_secrets

BUSY = 75
"""EX_TEMPFAIL of sysexits.h: try again later."""


@click.command()
@click.option("--dry-run", is_flag=True, help="Print what would be removed, and remove nothing.")
def clean(dry_run: bool) -> None:
    """Remove results that are kept no longer (keep_days, VIDEO_RETENTION_HOURS), those of deleted rows and users, and
    objects that no row names. Workers do the same in the background, piece by piece, unless LISTENER_CLEANING says
    otherwise.

    One line for each object. Exit status: 0, 1 refused, 69 the project does not answer, 75 a worker is cleaning just
    now, 78 settings.
    """
    settings = load_settings()
    hide_secrets(settings.secrets())
    with exit_statuses(settings.supabase_url):
        told = asyncio.run(_cleaned(settings, removes=not dry_run))
    if told is None:
        click.echo("a worker is cleaning just now: try again in some minutes", err=True)
        raise SystemExit(BUSY)
    found, saw_all = told
    size_bytes = sum(leftover.size_bytes or 0 for leftover in found)
    least = "" if saw_all else "at least "
    click.echo(f"{least}{len(found)} objects, {size_bytes} bytes {'would be' if dry_run else 'were'} removed")


async def _cleaned(settings: Settings, *, removes: bool) -> tuple[list[Leftover], bool] | None:
    """What went, or would have gone, and whether that is all; None while another one is at it."""
    told: list[Leftover] = []

    def tell(leftovers: Sequence[Leftover]) -> None:
        told.extend(leftovers)
        for one in leftovers:
            click.echo(f"{one.place.bucket}/{one.place.path}  {one.reason}")

    key = settings.supabase_service_role_key.get_secret_value()
    opening, video_hours = elsewhere_of(settings, 1), settings.video_retention_hours
    async with open_clients(settings.supabase_url, key, 1) as clients, opening as elsewhere:
        cleaning = cleaner(clients, uuid4(), tell, removes=removes, video_hours=video_hours, elsewhere=elsewhere)
        done = await cleaning.everything()
    if cleaning.refused:
        raise StoreRejected(f"{cleaning.refused} objects could not be removed")
    return (told, cleaning.saw_all) if done else None
