"""The two phases of every contender: fill, then drain when told; says what the drain took.

Runs under the contender's own Python: standard library only.
"""

import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

Claim = Callable[[], Awaitable[Sequence[Any]]]
Settle = Callable[[Sequence[Any]], Awaitable[None]]
SETTLERS = 2
"""Connections that settle while another claims."""


def arguments() -> tuple[str, int, int]:
    """Where the database is, how many jobs, how many at once."""
    return sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def say(**facts: object) -> None:
    """One line for the driver."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def cpu_s() -> float:
    """What this process and its children have used so far."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


def is_overlapped() -> bool:
    """Whether the next batch is to be claimed while the last one settles."""
    return "overlapped" in sys.argv[4:]


async def work_off(claim: Claim, settles: Sequence[Settle], count: int) -> None:
    """Claim and settle until so many are done: by turns, or overlapped, as many settling at once as there are ways to.

    Raises: AssertionError when nothing is left to claim too early.
    """
    claimed: asyncio.Queue[Sequence[Any] | None] = asyncio.Queue(1)

    async def claim_all() -> None:
        left = count
        while left:
            rows = await claim()
            if not rows:
                raise AssertionError("nothing left to claim")
            left -= len(rows)
            await claimed.put(rows)
            if not is_overlapped():
                await claimed.join()
        for _ in settles:
            await claimed.put(None)

    async def settle_all(settle: Settle) -> None:
        while (rows := await claimed.get()) is not None:
            await settle(rows)
            claimed.task_done()

    async with asyncio.TaskGroup() as group:
        group.create_task(claim_all())
        for settle in settles:
            group.create_task(settle_all(settle))


class Drain:
    """The measured phase: waits for the driver's word, then measures until it is told the count."""

    def __init__(self, **facts: object) -> None:
        say(ready=True, **facts)
        sys.stdin.readline()
        self.started, self.cpu_s = time.perf_counter(), cpu_s()

    def done(self, count: int) -> None:
        """Say what the drain took; return when the driver has read what the servers used."""
        say(count=count, seconds=time.perf_counter() - self.started, cpu_s=cpu_s() - self.cpu_s)
        sys.stdin.readline()
