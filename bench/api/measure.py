"""Callers submit sessions and read them, all at the same time: requests a second, how long one takes, what failed.

The worker is a real one that claims nothing, so that only the API is at work; each caller has a key of his own. The
bare server beside it has no keys, credits, idempotency or limits, and speaks to the same PostgreSQL.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from devstack.stack import Stack, open_stack
from tests.support.probing import url_of
from tests.support.stores import COAT, TRYON, at_worker
from tests.support.worker import ROOT, running_worker

CALLERS = (1, 10, 50)
REQUESTS = 600
"""In all, half of them submissions."""
CLAIMS_NOTHING = {"LISTENER_MIN_DISK_MIB": "99999999999", "LISTENER_SOURCES": "sweep"}


@dataclass
class Taken:
    """What callers saw. Units: milliseconds."""

    submit_ms: list[float] = field(default_factory=list)
    read_ms: list[float] = field(default_factory=list)
    failed: int = 0
    took_s: float = 0.0

    @property
    def rate(self) -> float:
        """Requests a second."""
        return (len(self.submit_ms) + len(self.read_ms)) / self.took_s


async def measure_api() -> None:
    """Print the table."""
    print(f"load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{REQUESTS} requests, half submissions and half reads; ms\n")
    print("| callers | server | requests/s | : bare | submit p50 | p95 | p99 | read p50 | p95 | p99 | errors |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    async with open_stack() as stack, bare_server(stack) as bare_url, running_api(stack, max(CALLERS)) as (url, keys):
        for callers in CALLERS:
            bare = await called(bare_url, [""] * callers)
            ours = await called(url, keys[:callers])
            line(callers, "bare aiohttp + asyncpg", bare, bare)
            line(callers, "**Listener**", ours, bare)


async def called(url: str, keys: list[str]) -> Taken:
    """One caller for each key, until all requests are made."""
    taken = Taken()
    limits = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, connector=limits) as http:
        began = time.perf_counter()
        await asyncio.gather(*(_caller(http, key, REQUESTS // 2 // len(keys), taken) for key in keys))
        taken.took_s = time.perf_counter() - began
    return taken


async def _caller(http: aiohttp.ClientSession, key: str, count: int, taken: Taken) -> None:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    for _ in range(count):
        began = time.perf_counter()
        async with http.post(TRYON, json=COAT, headers=headers) as answer:
            body = await answer.json()
            taken.failed += answer.status != 201
        taken.submit_ms.append(1000 * (time.perf_counter() - began))
        began = time.perf_counter()
        async with http.get(f"/api/sessions/{body['data']['id']}", headers=headers) as answer:
            shown = await answer.json()
            taken.failed += answer.status != 200 or shown["data"]["id"] != body["data"]["id"]
        taken.read_ms.append(1000 * (time.perf_counter() - began))


def line(callers: int, name: str, taken: Taken, bare: Taken) -> None:
    """One row."""
    figures = []
    for samples in (taken.submit_ms, taken.read_ms):
        cuts = statistics.quantiles(samples, n=100)
        figures += [f"{statistics.median(samples):.1f}", f"{cuts[94]:.1f}", f"{cuts[98]:.1f}"]
    rate, share = f"{taken.rate:.0f}", f"{taken.rate / bare.rate:.2f}"
    print(f"| {callers} | {name} | {rate} | {share} | {' | '.join(figures)} | {taken.failed} |")


@asynccontextmanager
async def running_api(stack: Stack, callers: int) -> AsyncIterator[tuple[str, list[str]]]:
    """A worker's address, and a key for each caller."""
    async with AsyncExitStack() as opened:
        starting = running_worker(stack, waits_until="claims_paused", **CLAIMS_NOTHING)
        worker = await opened.enter_async_context(starting)
        street = await opened.enter_async_context(at_worker(stack, url_of(worker)))
        stores = [await street.store(credits=10_000, per_minute=100_000) for _ in range(callers)]
        yield street.url, [store.key for store in stores]


@asynccontextmanager
async def bare_server(stack: Stack) -> AsyncIterator[str]:
    """The bare one, as a process of its own."""
    command = [sys.executable, "-m", "bench.api.bare", stack.database_url]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert process.stdout
    try:
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.terminate()
        await process.wait()
