"""`make bench`: every benchmark in turn, or those named, each printed beside what it is compared with."""

from __future__ import annotations

import argparse
import asyncio

from bench.api import measure_api
from bench.gpu import measure_gpu
from bench.pickup import measure_pickup
from bench.queue.install import install_peers
from bench.queue.measure import measure_queue
from bench.refund import measure_refund
from bench.stack import measure_stack

NAMES = ("stack", "api", "pickup", "refund", "queue", "gpu")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(NAMES)}; all when none is given")
    parser.add_argument("--install", action="store_true", help="install the peers of `queue` first")
    longer = "queue: longer, and with a million finished rows; gpu: four times as many images"
    parser.add_argument("--full", action="store_true", help=longer)
    asked = parser.parse_args()
    names = asked.names or list(NAMES)
    if unknown := set(names) - set(NAMES):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    if asked.install:
        install_peers()
    if "stack" in names:
        asyncio.run(measure_stack())
    if "api" in names:
        asyncio.run(measure_api())
    if "pickup" in names:
        asyncio.run(measure_pickup())
    if "refund" in names:
        asyncio.run(measure_refund())
    if "queue" in names and asked.full:
        measure_queue(count=4000, rounds=3, batch=10, sizes=(1_000, 100_000, 1_000_000), watchers=50)
    elif "queue" in names:
        measure_queue(count=2000, rounds=3, batch=10, sizes=(1_000, 100_000), watchers=50)
    if "gpu" in names:
        measure_gpu(count=240 if asked.full else 60, runs=1000)


if __name__ == "__main__":
    main()
