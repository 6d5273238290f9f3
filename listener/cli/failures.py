"""`listener failures`: what failed for good lately, how often, and what to search the log for."""

from __future__ import annotations

import json

import click

from listener.adapters.operator import FailedSession, RecentFailures
from listener.cli.operating import operate, table_of
from listener.telemetry.redact import clean_text

COUNTS = ("kind", "code", "how often", "last at")
FAILURES = ("at", "kind", "code", "attempt", "request_id", "row", "message")
NOT_WORTH_A_LINE = frozenset({"timestamp"})


@click.command()
@click.option("--hours", type=click.FloatRange(0, 24 * 366), default=24.0, show_default=True, help="How far back.")
@click.option("--limit", type=click.IntRange(0, 1000), default=20, show_default=True, help="How many, the newest.")
@click.option("--details", is_flag=True, help="Show each failure's details too.")
@click.option("--json", "as_json", is_flag=True, help="Print what the project answered.")
def failures(hours: float, limit: int, details: bool, as_json: bool) -> None:
    """Show what failed for good lately: how often each code came, and the newest with their request_id.

    The log lines of a session carry its request_id. Exit status: 0 (also when something failed), 1 refused, 69 the
    project does not answer, 78 settings.
    """
    seen = operate(lambda operator: operator.failures(hours, limit))
    if as_json:
        click.echo(seen.model_dump_json(indent=2))
    else:
        click.echo(_described(seen, hours, details))


def _described(seen: RecentFailures, hours: float, details: bool) -> str:
    if not seen.counts:
        return f"nothing failed within the last {hours:g} h"
    counts: list[tuple[object, ...]] = [(one.kind, one.code, one.count, _at(one.last_at)) for one in seen.counts]
    newest = table_of([_row(one) for one in seen.failures], FAILURES)
    shown = [table_of(counts, COUNTS), newest]
    if details:
        shown += [f"{one.request_id}: {_details(one)}" for one in seen.failures]
    return "\n\n".join(shown)


def _row(one: FailedSession) -> tuple[object, ...]:
    message = clean_text((one.message or "").replace("\n", " "))
    return (_at(one.finished_at), one.kind, one.code, one.attempt, one.request_id, one.row_id, message)


def _details(one: FailedSession) -> str:
    worth = {name: value for name, value in (one.details or {}).items() if name not in NOT_WORTH_A_LINE}
    return clean_text(json.dumps(worth, default=str, ensure_ascii=False))


def _at(at: object) -> str:
    return str(at)[:19]
