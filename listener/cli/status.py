"""`listener status`: workers that are alive, what waits for them, how the last day went, tables that are broken."""

from __future__ import annotations

import click

from listener.adapters.operator import KindLevels, Operator, ServiceStatus
from listener.cli.operating import operate, table_of

WORKERS = ("worker", "state", "kinds", "slots", "running", "version", "up since", "lease left s")
KINDS = ("kind", "queued", "delayed", "processing", "oldest wait s")
LEVELS = ("last 24 h", "completed", "failed", "success %", "wait p95 s", "done p50 s", "done p95 s", "first p95 s")
HOURS = 24


class Seen(ServiceStatus):
    """What is shown."""

    last_day: list[KindLevels]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print what the project answered.")
def status(as_json: bool) -> None:
    """Show the workers and the queue.

    Exit status: 0, 1 refused or a table is broken, 69 the project does not answer, 78 settings.
    """
    seen = operate(_seen)
    click.echo(seen.model_dump_json(indent=2) if as_json else _described(seen))
    if seen.broken_tables:
        raise SystemExit(1)


async def _seen(operator: Operator) -> Seen:
    now, levels = await operator.status(), await operator.levels(HOURS)
    return Seen(**now.model_dump(), last_day=[level.model_dump() for level in levels])


def _described(seen: Seen) -> str:
    workers: list[tuple[object, ...]] = [
        (
            worker.name,
            worker.state or "-",
            ",".join(worker.kinds),
            worker.slots,
            worker.running,
            worker.version,
            worker.started_at.isoformat(sep=" ", timespec="seconds"),
            worker.lease_left_s,
        )
        for worker in seen.workers
    ]
    kinds: list[tuple[object, ...]] = [
        (kind.kind, kind.queued, kind.delayed, kind.processing, kind.oldest_wait_s) for kind in seen.kinds
    ]
    levels: list[tuple[object, ...]] = [
        (
            level.kind,
            level.completed,
            level.failed,
            f"{100 * level.success:.1f}",
            *("-" if s is None else f"{s:.1f}" for s in _times(level)),
        )
        for level in seen.last_day
    ]
    broken = [f"broken: {table.table}: {table.reason}" for table in seen.broken_tables]
    served = {kind for worker in seen.workers for kind in worker.kinds}
    unserved = [
        f"nobody serves {kind.kind}: {waiting} wait"
        for kind in seen.kinds
        if (waiting := kind.queued + kind.delayed) and kind.kind not in served
    ]
    parts = [
        f"schema version {seen.schema_version}",
        table_of(workers, WORKERS) if workers else "no worker is alive",
        table_of(kinds, KINDS),
        *([table_of(levels, LEVELS)] if levels else []),
        *unserved,
        *broken,
    ]
    return "\n\n".join(parts)


def _times(level: KindLevels) -> tuple[float | None, ...]:
    return level.wait_p95_s, level.done_p50_s, level.done_p95_s, level.first_p95_s
