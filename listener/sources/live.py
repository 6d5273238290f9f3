"""The Realtime source: one epoch after the other, for ever. It never dies and never trusts silence.

Knows when to begin a new epoch; the epoch knows the library.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Sequence

from listener.contract import Log
from listener.engine.backoff import Backoff
from listener.ports import Clock, WatchedTable
from listener.sources.epoch import Bounds, Epoch, Project

PLANNED = {"renewal", "the watched tables changed"}
LIMITED = re.compile(r"RateLimit|Too many|HTTP 429")
"""How the server says that it has had enough of us. Source: its join errors and refusals, as recorded."""


class RealtimeSource:
    """Wake-ups from INSERTs on the watched tables."""

    name = "realtime"

    def __init__(self, project: Project, clock: Clock, log: Log, bounds: Bounds | None = None) -> None:
        self._project = project
        self._clock = clock
        self._log = log
        self._bounds = bounds or Bounds()
        self._tables: tuple[WatchedTable, ...] = ()
        self._tables_known = asyncio.Event()
        self._epoch: Epoch | None = None
        self._number = 0
        self._backoff = Backoff(first_s=self._bounds.first_delay_s, limit_s=self._bounds.longest_delay_s)
        self.last_loss = "not connected yet"

    def fresh(self) -> bool:
        """Whether wake-ups are known to arrive at this moment."""
        return self._epoch is not None and self._epoch.live

    def watch(self, tables: Sequence[WatchedTable]) -> None:
        """Listen to these tables from now on; a change begins a new epoch."""
        wanted = tuple(tables)
        if wanted == self._tables or not wanted:
            return
        self._tables = wanted
        self._tables_known.set()
        if self._epoch is not None:
            self._epoch.end("the watched tables changed")

    def beat_sent(self, at: float) -> None:
        """Tell the canary that a heartbeat was written."""
        if self._epoch is not None:
            self._epoch.beat_sent(at)

    async def run(self, wake: Callable[[str], None]) -> None:
        """Run epochs until cancelled; every loss is a wake-up, since rows may have come meanwhile."""
        await self._tables_known.wait()
        while True:
            reason = await self._one_epoch(wake)
            wake("realtime_lost")
            if reason not in PLANNED:
                await asyncio.sleep(self._delay_s(reason))

    def _delay_s(self, reason: str) -> float:
        delay_s = self._backoff.next_s()
        if LIMITED.search(reason):
            return max(delay_s, self._bounds.limited_delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
        return delay_s

    async def _one_epoch(self, wake: Callable[[str], None]) -> str:
        self._number += 1
        self._epoch = Epoch(
            project=self._project,
            number=self._number,
            tables=self._tables,
            wake=wake,
            bounds=self._bounds,
            clock=self._clock,
            log=self._log,
        )
        reason = await self._epoch.run()
        if self._epoch.was_live:
            self._backoff.reset()
        self.last_loss = reason
        level = self._log.info if reason in PLANNED else self._log.warning
        level("realtime_lost", epoch=self._number, reason=reason)
        return reason
