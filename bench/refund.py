"""From the moment a failure is known to the credit's return, beside a bare transaction on the same PostgreSQL.

The worker stamps a failure when it judges it (`error_details.timestamp`), the refund's ledger entry bears the start of
its transaction, and the owner reads both; all on one machine's clock.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime

import asyncpg

from bench.pickup import ROUNDS, print_line
from devstack.stack import Stack, open_stack
from tests.support.app import insert, signed_in, until_terminal
from tests.support.worker import running_worker

IMPOSSIBLE = {"width": 65}
"""No multiple of 16: the worker can only refuse it."""
FAILED = """
select extract(epoch from l.created_at - (r.error_details ->> 'timestamp')::timestamptz) * 1000
from public.headshot_sessions as r
inner join listener.sessions as s on s.row_id = r.id
inner join listener.ledger as l on l.key = 'refund:' || s.id
where r.id = $1
"""
BARE = """
create table public.bench_balances (owner integer primary key, balance integer not null);
create table public.bench_refunds (id bigint generated always as identity primary key, owner integer, amount integer);
insert into public.bench_balances values (1, 0);
"""


async def measure_refund() -> None:
    """Print both, and what the owner sees."""
    print(f"load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    async with open_stack() as stack:
        bare_ms = await bare_refunds(stack)
        async with running_worker(stack) as worker:
            await worker.until_logged("worker_ready")
            refunded_ms, seen_ms = await refunds(stack)
    print(f"{ROUNDS} failures one after the other (ms){'p50':>14}{'p95':>8}{'p99':>8}")
    print_line("bare refund, one transaction", bare_ms)
    print_line("failure known -> refunded", refunded_ms)
    print_line("failure known -> owner's read", seen_ms)


async def refunds(stack: Stack) -> tuple[list[float], list[float]]:
    """Milliseconds from a failure's stamp to the refund, and to the owner's reading of both."""
    client = await signed_in(stack)
    database = await asyncpg.connect(stack.database_url)
    refunded_ms: list[float] = []
    seen_ms: list[float] = []
    for _ in range(ROUNDS):
        row = await until_terminal(client, await insert(client, **IMPOSSIBLE))
        seen = datetime.now(UTC) - datetime.fromisoformat(row["error_details"]["timestamp"])
        seen_ms.append(1000 * seen.total_seconds())
        refunded_ms.append(float(await database.fetchval(FAILED, row["id"])))
    await database.close()
    return refunded_ms, seen_ms


async def bare_refunds(stack: Stack) -> list[float]:
    """Milliseconds of a transaction that books a refund and raises a balance, and nothing else."""
    database = await asyncpg.connect(stack.database_url)
    await database.execute(BARE)
    samples_ms: list[float] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        async with database.transaction():
            await database.execute("insert into public.bench_refunds (owner, amount) values (1, 1)")
            await database.execute("update public.bench_balances set balance = balance + 1 where owner = 1")
        samples_ms.append(1000 * (time.perf_counter() - began))
    await database.close()
    return samples_ms
