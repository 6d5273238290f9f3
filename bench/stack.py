"""The embedded stack's own figures: from start to ready, and from a row's insert to its Realtime event.

The start is timed from outside, as a process; the event beside a bare LISTEN/NOTIFY on the same PostgreSQL.
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
from realtime import RealtimePostgresChangesListenEvent as Change
from supabase import AsyncClient

from bench.pickup import ROUNDS, bare_queue, print_line
from devstack.stack import Stack, open_stack
from tests.support.app import signed_in

ROOT = Path(__file__).parents[1]
STARTS = 7
TABLE = """
create table public.bench_events (id uuid primary key, user_id uuid not null default auth.uid());
alter table public.bench_events enable row level security;
create policy reads on public.bench_events for select to authenticated using ((select auth.uid()) = user_id);
create policy inserts on public.bench_events for insert to authenticated with check ((select auth.uid()) = user_id);
grant select, insert on public.bench_events to authenticated;
alter publication supabase_realtime add table public.bench_events;
"""


async def measure_stack() -> None:
    """Print both figures and the load they were taken under."""
    starts_s = [start_to_ready_s() for _ in range(STARTS)]
    print(f"load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(
        f"`python -m devstack` to its first answer, {STARTS} starts (s): "
        f"fastest {min(starts_s):.2f}, median {statistics.median(starts_s):.2f}, slowest {max(starts_s):.2f}"
    )
    async with open_stack() as stack:
        bare_ms = await bare_notifications(stack.database_url)
        answered_ms, heard_ms = await insert_to_event(stack)
    print(f"\n{ROUNDS} inserts one after the other (ms){'p50':>13}{'p95':>8}{'p99':>8}")
    print_line("bare insert -> NOTIFY, asyncpg", bare_ms)
    print_line("REST insert -> its answer", answered_ms)
    print_line("REST insert -> Realtime event", heard_ms)


def start_to_ready_s() -> float:
    """Seconds from the start of the process to the line that says it is ready."""
    begun = time.monotonic()
    command = [sys.executable, "-m", "devstack", "--json"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout
        line = process.stdout.readline()
        ready_s = time.monotonic() - begun
        process.send_signal(signal.SIGTERM)
    assert line.startswith(b"{"), "the stack did not start"
    return ready_s


async def insert_to_event(stack: Stack) -> tuple[list[float], list[float]]:
    """Milliseconds from sending an insert over REST to its answer, and to the event at a subscriber with a filter."""
    owner = await asyncpg.connect(stack.database_url)
    await owner.execute(TABLE)
    await owner.close()
    client = await signed_in(stack)
    heard = await _listening(client)
    answered_ms: list[float] = []
    heard_ms: list[float] = []
    for _ in range(ROUNDS):
        row_id = str(uuid4())
        sent = time.perf_counter()
        await client.table("bench_events").insert({"id": row_id}, returning="minimal").execute()  # type: ignore[arg-type]
        answered_ms.append(1000 * (time.perf_counter() - sent))
        came, record = await heard.get()
        assert record["id"] == row_id
        heard_ms.append(1000 * (came - sent))
    await client.remove_all_channels()
    return answered_ms, heard_ms


async def _listening(client: AsyncClient) -> asyncio.Queue[tuple[float, dict[str, Any]]]:
    """When each event came, and its row; returns when the subscription lives."""
    heard: asyncio.Queue[tuple[float, dict[str, Any]]] = asyncio.Queue()
    live = asyncio.Event()
    session = await client.auth.get_session()
    assert session
    await client.realtime.set_auth(session.access_token)

    def on_change(change: Any) -> None:
        heard.put_nowait((time.perf_counter(), change["data"]["record"]))

    channel = client.channel("bench")
    where = f"user_id=eq.{session.user.id}"
    channel.on_postgres_changes(Change.Insert, on_change, table="bench_events", schema="public", filter=where)
    channel.on_system(lambda _: live.set())
    await channel.subscribe()
    await live.wait()
    return heard


async def bare_notifications(database_url: str) -> list[float]:
    """Milliseconds from sending a bare insert to its notification."""
    async with bare_queue(database_url) as (writer, _, woken):
        samples: list[float] = []
        for _ in range(ROUNDS):
            woken.clear()
            sent = time.perf_counter()
            await writer.execute("insert into bench_queue default values")
            await woken.wait()
            samples.append(1000 * (time.perf_counter() - sent))
        return samples
