"""`listener migrate`: the tables and functions of this version, brought into a project of the user's own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from listener.adapters.database import open_database
from listener.cli.connecting import database_option, database_url
from listener.cli.statuses import REFUSED, exit_statuses
from listener.errors import StoreRejected
from listener.shipped import Migration, shipped_migrations

DEFAULT_FOLDER = Path("supabase") / "migrations"
NEXT = "next: supabase db push (with --include-all when later migrations of yours are applied already)"


@click.command()
@click.option("--print", "to_stdout", is_flag=True, help="Write the SQL to stdout, for the SQL editor.")
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_FOLDER,
    show_default=True,
    help="Copy the files to this folder.",
)
@click.option("--apply", "applies", is_flag=True, help="Apply them to the database of DATABASE_URL.")
@database_option
def migrate(to_stdout: bool, folder: Path, applies: bool, url: str | None) -> None:
    """Bring the migrations of this version into your own project: as files, as text, or applied.

    A file of yours is never overwritten, a migration never applied twice, and one that fails is rolled back whole.
    Exit status: 0 done, 1 a file differs or the database refused, 69 it does not answer, 78 settings.
    """
    migrations = shipped_migrations()
    if to_stdout:
        click.echo("\n".join(migration.text for migration in migrations), nl=False)
    elif applies or url:
        with exit_statuses("the database"):
            asyncio.run(_apply(database_url(url), migrations))
    elif not _copied(migrations, folder):
        raise SystemExit(REFUSED)


def _copied(migrations: list[Migration], folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    words = [_copy(migration, folder) for migration in migrations]
    for migration, outcome in zip(migrations, words, strict=True):
        click.echo(f"{outcome:8} {folder / migration.file}")
    if "differs" in words:
        click.echo("differs: yours was kept; compare it with `listener migrate --print`", err=True)
        return False
    if "taken" in words:
        click.echo("taken: another file has the same version; rename yours or ours, then again", err=True)
        return False
    if "written" in words:
        click.echo(NEXT)
    return True


def _copy(migration: Migration, folder: Path) -> str:
    path = folder / migration.file
    if path.exists():
        return "already" if path.read_text(encoding="utf-8") == migration.text else "differs"
    if list(folder.glob(f"{migration.version}_*.sql")):
        return "taken"
    path.write_text(migration.text, encoding="utf-8")
    return "written"


async def _apply(url: str, migrations: list[Migration]) -> None:
    async with open_database(url) as database:
        if missing := await database.missing():
            raise StoreRejected(f"this is not the database of a Supabase project: no {', no '.join(missing)}")
        applied = await database.apply(migrations)
    for migration in migrations:
        click.echo(f"{'applied' if migration in applied else 'already':8} {migration.file}")
