"""From insert to claim: the daemon on the embedded stack beside a bare LISTEN/NOTIFY loop on the same PostgreSQL.

Both are measured in one run, by the database's own clock: from the commit of the insert to the claim that took the row.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import asyncpg

from devstack.stack import Stack, open_stack
from tests.support.app import insert, signed_in, until_terminal
from tests.support.worker import running_worker

ROUNDS = 100
SMALL = {"num_inference_steps": 1, "width": 64, "height": 64}


async def measure_pickup() -> None:
    """Print p50, p95 and p99 of both, and their ratio."""
    async with open_stack() as stack:
        bare_ms = await bare_pickups(stack.database_url)
        listener_ms, started_ms = await listener_pickups(stack)
    print(f"insert -> claim, {ROUNDS} sessions one after the other, idle machine otherwise (ms)")
    print(f"{'':34}{'p50':>8}{'p95':>8}{'p99':>8}")
    print_line("bare asyncpg LISTEN/NOTIFY loop", bare_ms)
    print_line("listener over Realtime", listener_ms)
    print_line("listener, until the handler starts", started_ms)
    print(f"ratio of the medians: {statistics.median(listener_ms) / statistics.median(bare_ms):.1f}")


def print_line(name: str, samples_ms: Sequence[float]) -> None:
    """One row of the table."""
    cuts = statistics.quantiles(samples_ms, n=100)
    print(f"{name:34}{statistics.median(samples_ms):8.1f}{cuts[94]:8.1f}{cuts[98]:8.1f}")


async def listener_pickups(stack: Stack) -> tuple[list[float], list[float]]:
    """Insert sessions over REST as a user; the times of the claims and of the handlers' starts."""
    client = await signed_in(stack)
    database = await asyncpg.connect(stack.database_url)
    owner = (await client.auth.get_user()).user.id  # type: ignore[union-attr]
    service_grant = "select public.grant_credits($1::uuid, $2, 'bench', 'bench')"
    await database.execute(service_grant, owner, ROUNDS)
    inserted_at: dict[str, float] = {}
    async with running_worker(stack) as worker:
        for _ in range(ROUNDS):
            row_id = await insert(client, **SMALL)
            await until_terminal(client, row_id)
        rows = await database.fetch(
            "select id, extract(epoch from created_at) as created, extract(epoch from started_at) as claimed"
            " from listener.sessions"
        )
        inserted_at = {str(row["id"]): float(row["created"]) for row in rows}
        started = {line["session"]: line["timestamp"] for line in worker.logged("attempt_started")}
    await database.close()
    claims = [1000 * float(row["claimed"] - row["created"]) for row in rows]
    starts = [1000 * (epoch(started[session]) - at) for session, at in inserted_at.items()]
    return claims, starts


def epoch(timestamp: str) -> float:
    """Seconds since 1970 of a log line's ISO time."""
    return datetime.fromisoformat(timestamp).timestamp()


async def bare_pickups(database_url: str) -> list[float]:
    """The same by the shortest loop there is: trigger, NOTIFY, `for update skip locked`."""
    async with bare_queue(database_url) as (writer, reader, woken):
        samples: list[float] = []
        for _ in range(ROUNDS):
            woken.clear()
            await writer.execute("insert into bench_queue default values")
            await woken.wait()
            taken = await reader.fetchrow(
                "update bench_queue set claimed_at = clock_timestamp() where id ="
                " (select id from bench_queue where claimed_at is null limit 1 for update skip locked)"
                " returning extract(epoch from claimed_at - created_at) as waited_s"
            )
            samples.append(1000 * float(taken["waited_s"]))
        return samples


@asynccontextmanager
async def bare_queue(database_url: str) -> AsyncIterator[tuple[Any, Any, asyncio.Event]]:
    """A table that notifies, a connection that writes and one that listens."""
    writer, reader = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    await writer.execute(
        "create table bench_queue (id bigint generated always as identity primary key,"
        " created_at timestamptz default clock_timestamp(), claimed_at timestamptz);"
        "create function bench_notify() returns trigger language plpgsql as"
        " $$ begin perform pg_notify('bench', ''); return null; end $$;"
        "create trigger bench_notify after insert on bench_queue for each statement execute function bench_notify()"
    )
    woken = asyncio.Event()
    await reader.add_listener("bench", lambda *_: woken.set())
    try:
        yield writer, reader, woken
    finally:
        await writer.close()
        await reader.close()
