"""This worker, as a process, by one source alone: from the insert statement to the handler's start in its log."""

from __future__ import annotations

import base64
import secrets
import statistics
import sys
from datetime import datetime

import asyncpg

from bench.pickup.pace import pause
from devstack.stack import Stack
from tests.support.app import insert, signed_in, until_terminal
from tests.support.worker import Worker, running_worker

SMALL = {"num_inference_steps": 1, "width": 64, "height": 64}
SWEEP_S = 1.2
"""Longer than the second between two looks, so that an insert meets any point of it."""
WEBHOOK_S = 2.5
"""pg_net pauses for a second after each batch: some inserts fall into it, as they do in a project."""


async def by_realtime(stack: Stack, count: int) -> list[float]:
    """Realtime alone; the stack's own, which reads the WAL as it comes."""
    async with running_worker(stack, LISTENER_SOURCES="realtime") as worker:
        await worker.until_logged("realtime_joined")
        return await pickups(stack, worker, count)


async def by_webhook(stack: Stack, count: int) -> list[float]:
    """Our signed webhook alone."""
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    settings = {"LISTENER_SOURCES": "webhook", "LISTENER_WEBHOOK_SECRETS": secret}
    async with running_worker(stack, **settings) as worker:
        database = await asyncpg.connect(stack.database_url)
        url = f"http://127.0.0.1:{worker.logged('worker_started')[0]['port']}/hooks/supabase"
        await database.execute("select listener.set_webhook($1, secret => $2)", url, secret)
        await database.close()
        return await pickups(stack, worker, count, WEBHOOK_S)


async def by_sweep(stack: Stack, count: int) -> list[float]:
    """The sweep alone: as fast as it looks while nothing else is known to work."""
    async with running_worker(stack, LISTENER_SOURCES="sweep") as worker:
        return await pickups(stack, worker, count, SWEEP_S)


async def pickups(stack: Stack, worker: Worker, count: int, longest_pause_s: float = 0.3) -> list[float]:
    """Insert sessions over REST as a user, each after the end of the last one."""
    client = await signed_in(stack)
    database = await asyncpg.connect(stack.database_url)
    signed = await client.auth.get_user()
    if signed is None:
        raise RuntimeError("nobody is signed in")
    await database.execute("select public.grant_credits($1::uuid, $2, 'bench', 'bench')", signed.user.id, count)
    for _ in range(count):
        await pause(longest_pause_s)
        await until_terminal(client, await insert(client, **SMALL))
    rows = await database.fetch(
        "select id, extract(epoch from created_at) as created, extract(epoch from started_at) as claimed"
        " from listener.sessions"
    )
    await database.close()
    until_claim_ms = statistics.median(1000 * float(row["claimed"] - row["created"]) for row in rows)
    sys.stderr.write(f"of which until the claim, by the database's clock: p50 {until_claim_ms:.1f} ms\n")
    started = {line["session"]: line["timestamp"] for line in worker.logged("attempt_started")}
    return [1000 * (epoch(started[str(row["id"])]) - float(row["created"])) for row in rows]


def epoch(timestamp: str) -> float:
    """Seconds since 1970 of a log line's ISO time."""
    return datetime.fromisoformat(timestamp).timestamp()
