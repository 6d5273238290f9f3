"""Runs the contenders one after the other on one PostgreSQL and prints p50, p95 and p99 of each.

Knows which contenders there are; knows nothing of how one of them works.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Awaitable, Callable, Sequence

from bench.pickup.bare import bare_pickups
from bench.pickup.listener import by_realtime, by_sweep, by_webhook
from bench.pickup.peers_run import PEERS, Peer, peer_pickups
from devstack.stack import Stack, open_stack

ROUNDS = 100
POLLED_ROUNDS = 40
"""Of those that look by the clock: each takes a second or so."""

Measured = Callable[[Stack, int], Awaitable[Sequence[float]]]


async def measure_pickup(rounds: int = ROUNDS, polled_rounds: int = POLLED_ROUNDS) -> None:
    """Print the table; a contender that fails says so and is left out."""
    print(f"load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"insert -> the handler starts, {rounds} sessions one after the other ({polled_rounds} where polled), ms\n")
    print("| | p50 | p95 | p99 | how it learns of work |\n|---|---|---|---|---|")
    contenders: list[tuple[str, str, int, Measured]] = [
        ("bare asyncpg loop", "LISTEN/NOTIFY", rounds, bare_pickups),
        ("**Listener**, Realtime alone", "postgres_changes", rounds, by_realtime),
        ("**Listener**, webhook alone", "pg_net, POST", polled_rounds, by_webhook),
        ("**Listener**, sweep alone", "looks every second", polled_rounds, by_sweep),
    ]
    for name, how, count, measured in contenders:
        await one(name, how, count, measured)
    for peer in PEERS:
        if not peer.is_installed():
            sys.stdout.write(f"{peer.name}: not installed, see `python -m bench queue --install`\n")
            continue
        await one(peer.name, peer.how, polled_rounds if peer.polls else rounds, of_peer(peer))


def of_peer(peer: Peer) -> Measured:
    """A peer's script as a contender."""

    async def measured(stack: Stack, count: int) -> Sequence[float]:
        return await peer_pickups(peer, stack, count)

    return measured


def print_line(name: str, samples_ms: Sequence[float]) -> None:
    """One row of a plain table."""
    cuts = statistics.quantiles(samples_ms, n=100)
    print(f"{name:34}{statistics.median(samples_ms):8.1f}{cuts[94]:8.1f}{cuts[98]:8.1f}")


async def one(name: str, how: str, count: int, measured: Measured) -> None:
    """Measure one contender on a fresh stack and print its line."""
    async with open_stack() as stack:
        try:
            samples_ms = await measured(stack, count)
        except (RuntimeError, TimeoutError) as error:
            sys.stderr.write(f"{name} failed: {error}\n")
            return
    cuts = statistics.quantiles(samples_ms, n=100)
    print(f"| {name} | {statistics.median(samples_ms):,.1f} | {cuts[94]:,.1f} | {cuts[98]:,.1f} | {how} |", flush=True)
