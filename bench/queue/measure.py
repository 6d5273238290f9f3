"""Runs the contenders in rounds, one after the other in each, and prints medians and ratios.

Knows which contenders there are; knows nothing of how one of them works.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import Callable

import asyncpg

from bench.queue.contender import Contender, Drained, drain
from bench.queue.finished import add_finished
from bench.queue.install import place_node_scripts
from bench.queue.server import DurableServer, durable_server
from bench.queue.watchers import watching
from devstack.postgres.prepare import prepare_database

BARE = Contender("bare two-update loop", "bare.py", project=True)
LISTENER = Contender("listener", "listener_rpc.py", 0.5, project=True)
BARE_OVERLAPPED = Contender("bare loop, claims while it settles", "bare.py", project=True, options=("overlapped",))
OVERLAPPED = Contender(
    "listener, claims while it settles", "listener_rpc.py", 0.5, project=True, options=("overlapped",)
)
PEERS = (
    Contender("graphile-worker", "graphile.mjs", needs="node/node_modules/graphile-worker"),
    Contender("pg-boss", "pgboss.mjs", 0.5, needs="node/node_modules/pg-boss"),
    Contender("PgQueuer", "pgqueuer_worker.py", 0.5, needs="venv/lib/*/site-packages/pgqueuer"),
    Contender("Celery + Redis", "celery_worker.py", 0.3, needs="venv/lib/*/site-packages/celery"),
    Contender("procrastinate", "procrastinate_worker.py", 0.1, needs="venv/lib/*/site-packages/procrastinate"),
    Contender("DBOS", "dbos_worker.py", 0.05, needs="venv/lib/*/site-packages/dbos"),
)
OBAN = "oban-py: not measured here, its package needs Python 3.12"
Samples = dict[str, list[Drained]]


def measure_queue(count: int, rounds: int, batch: int, sizes: tuple[int, ...], watchers: int) -> None:
    """Print the three tables: peers, finished rows, watching frontends."""
    place_node_scripts()
    with durable_server() as server:
        sys.stdout.write(f"{server.version}, fsync on, {rounds} interleaved rounds, batch {batch}, medians\n")
        sys.stdout.flush()
        against_peers(server, count, rounds, batch)
        against_size(server, count, rounds, batch, sizes)
        against_watchers(server, count, rounds, batch, watchers)


def against_peers(server: DurableServer, count: int, rounds: int, batch: int) -> None:
    """Every queue that is installed, each on a database of its own."""
    contenders = [BARE, LISTENER, BARE_OVERLAPPED, OVERLAPPED, *(peer for peer in PEERS if peer.is_installed())]
    for index, contender in enumerate(contenders):
        asyncio.run(make_database(server, f"peer_{index}", migrate=contender in (LISTENER, OVERLAPPED)))
    samples: Samples = {contender.name: [] for contender in contenders}
    for _ in range(rounds):
        for index, contender in enumerate(contenders):
            attempt(samples, contender.name, lambda c=contender, i=index: drain(c, server, f"peer_{i}", count, batch))
    print_table("no-op jobs", samples, BARE.name)
    for peer in PEERS:
        if not peer.is_installed():
            sys.stdout.write(f"{peer.name}: not installed, see --install\n")
    sys.stdout.write(OBAN + "\n")


def against_size(server: DurableServer, count: int, rounds: int, batch: int, sizes: tuple[int, ...]) -> None:
    """Listener with so many finished sessions already there."""
    for size in sizes:
        asyncio.run(make_database(server, f"size_{size}", migrate=True, finished=size))
    samples: Samples = {f"listener, {size:,} finished": [] for size in sizes}
    for _ in range(rounds):
        for size, name in zip(sizes, samples, strict=True):
            attempt(samples, name, lambda s=size: drain(LISTENER, server, f"size_{s}", count, batch))
    print_table("finished rows", samples, next(iter(samples)))


def against_watchers(server: DurableServer, count: int, rounds: int, batch: int, watchers: int) -> None:
    """Listener while frontends watch their rows over Realtime; the stack that serves them runs on the same machine."""
    asyncio.run(make_database(server, "watched", migrate=True))
    samples: Samples = {"nobody watches": [], f"{watchers} frontends watch": []}
    for _ in range(rounds):
        attempt(samples, "nobody watches", lambda: drain(LISTENER, server, "watched", count // 2, batch))
        with watching(server.dsn("watched"), watchers):
            attempt(
                samples, f"{watchers} frontends watch", lambda: drain(LISTENER, server, "watched", count // 2, batch)
            )
    print_table("watching frontends; server CPU with WAL decoding, without the stack's", samples, "nobody watches")


def attempt(samples: Samples, name: str, measured: Callable[[], Drained]) -> None:
    """Add one sample; a contender that fails says so and is left out of this round."""
    try:
        samples[name].append(measured())
    except RuntimeError as error:
        sys.stderr.write(f"{name} failed: {error}\n")


def print_table(title: str, samples: Samples, base: str) -> None:
    """One line each: jobs a second, CPU a job, and both as a share of the base's."""
    sys.stdout.write(f"\n| {title} | jobs/s | CPU ms/job | jobs/s : base | CPU : base |\n|---|---|---|---|---|\n")
    rate = {name: statistics.median(d.jobs_per_s for d in drained) for name, drained in samples.items() if drained}
    cost = {name: statistics.median(d.cpu_ms for d in drained) for name, drained in samples.items() if drained}
    for name in samples:
        if name in rate and base in rate:
            rates = statistics.median(
                own.jobs_per_s / other.jobs_per_s for own, other in zip(samples[name], samples[base], strict=False)
            )
            sys.stdout.write(
                f"| {name} | {rate[name]:,.0f} | {cost[name]:.3f} | {rates:.2f} | {cost[name] / cost[base]:.2f} |\n"
            )
    sys.stdout.flush()


async def make_database(server: DurableServer, name: str, *, migrate: bool, finished: int = 0) -> None:
    """A fresh database; with the project's migrations for listener, plain for the others."""
    admin = await asyncpg.connect(server.dsn())
    await admin.execute(f"create database {name}")
    await admin.close()
    if migrate:
        await prepare_database(server.dsn(name))
        await add_finished(server.dsn(name), finished)
