"""`listener watch-table`: a table of the app becomes a session table, by `listener.watch` in its database.

Knows how the statement is written; what is refused, and why, is the database's word.
"""

from __future__ import annotations

from typing import Any

import click

from listener.cli.connecting import database_option
from listener.cli.json_object import JsonObject
from listener.cli.statements import call_of, done_in_database


@click.command()
@click.argument("relation", metavar="TABLE")
@click.option("--kind", required=True, help="Which handler serves its rows.")
@click.option("--owner-column", help="Whose credits a row uses; user_id when absent.")
@click.option("--credits", type=click.IntRange(0), help="What a row costs; 1 when absent, 0 switches money off.")
@click.option("--max-attempts", type=click.IntRange(1, 100), help="Failures after which a row has failed.")
@click.option("--time-limit-s", type=click.IntRange(1, 86_400), help="Seconds an attempt may take.")
@click.option("--bucket", help="Where artifacts are stored.")
@click.option("--id-column", help="The uuid primary key; found when absent.")
@click.option("--columns", type=JsonObject(), help='Your names of state columns: {"finished_at": "completed_at"}.')
@click.option("--backfill", is_flag=True, default=None, help="Queue and charge rows that stand at queued already.")
@click.option("--rls-off-is-fine", is_flag=True, default=None, help="Accept a table without row level security.")
@click.option("--on-refund", help="Your own function(uuid, integer) that gives credits back.")
@click.option("--grant-select/--no-grant-select", default=None, help="Let signed-in users read by their policies.")
@click.option("--insert-columns", help="Columns signed-in users may insert, with commas between.")
@click.option("--dry-run", is_flag=True, help="Do all of it in the database of DATABASE_URL, then roll it back.")
@click.option("--apply", "applies", is_flag=True, help="Do it in the database of DATABASE_URL.")
@database_option
def watch_table(relation: str, dry_run: bool, applies: bool, url: str | None, **options: Any) -> None:
    """Make TABLE's rows sessions. Without --apply or --dry-run: print the statement for the SQL editor.

    Exit status: 0 done, 1 the table was refused (every reason is named), 69 the database does not answer, 78 settings.
    """
    if options["insert_columns"] is not None:
        options["insert_columns"] = [word.strip() for word in options["insert_columns"].split(",") if word.strip()]
    statement = statement_of(relation, options)
    if not (dry_run or applies or url):
        click.echo(f"{statement};")
        return
    answer = done_in_database(url, statement, kept=not dry_run)
    click.echo(f"{'would be ' if dry_run else ''}watched: {answer}")


def statement_of(relation: str, options: dict[str, Any]) -> str:
    """The call of listener.watch with the options that were given."""
    return call_of("listener.watch", relation, options)
