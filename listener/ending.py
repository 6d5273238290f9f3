"""How a worker ends: drained and in order, or loudly when one of its tasks crashed. Knows no settings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from listener.contract import Generator
from listener.engine.drain import Drain
from listener.engine.heartbeat import Heartbeat
from listener.engine.pool import AttemptPool
from listener.engine.slots import Slots
from listener.errors import StoreError
from listener.partners import Partners
from listener.telemetry import log

LAST_BEAT_S = 5.0
ABANDON_S = 5.0
STUCK = 1
"""The status of a process that had to be left without the end of its tasks."""


@dataclass(frozen=True, slots=True)
class Tasks:
    """What runs until the worker is drained; `others` are simply cancelled then."""

    claiming: asyncio.Task[None]
    beating: asyncio.Task[None]
    delivering: asyncio.Task[None]
    others: tuple[asyncio.Task[None], ...]


class Ending:
    """The end of one worker; `leave` ends the process at once."""

    def __init__(self, drain: Drain, slots: Slots, generator: Generator, leave: Callable[[int], None]) -> None:
        self._drain = drain
        self._slots = slots
        self._generator = generator
        self._leave = leave
        self._log = log.get("daemon")

    async def run(self, tasks: Tasks, heartbeat: Heartbeat, pool: AttemptPool, partners: Partners) -> None:
        """When drained: end the tasks, and let a last heartbeat give back what a lost claim answer may have left."""
        await self._drain.run(tasks.claiming)
        await partners.end(tasks.delivering)
        for task in tasks.others:
            task.cancel()
        heartbeat.stop()
        await asyncio.wait({tasks.beating}, timeout=LAST_BEAT_S)
        tasks.claiming.cancel()
        tasks.beating.cancel()
        try:
            async with asyncio.timeout(LAST_BEAT_S):
                await heartbeat.beat_empty()
                await heartbeat.beat_empty()  # a stray is released by the second heartbeat that does not list it
        except (StoreError, TimeoutError) as error:
            self._log.warning("last_heartbeat_failed", error=str(error))
        if stuck := await pool.abandon(ABANDON_S):
            # Code that swallows its cancellation would keep the process for ever; its sessions are given back already.
            self._log.error("worker_stuck", attempts=stuck)
            await self._generator.close()
            self._leave(STUCK)

    def bring_down(self, task: asyncio.Task[None]) -> None:
        """Make sure that a crash ends the process, also when an attempt ignores that it is cancelled."""
        if not task.cancelled() and (crash := task.exception()) is not None:
            asyncio.get_running_loop().call_later(ABANDON_S, self._leave_behind, crash)

    def _leave_behind(self, crash: BaseException) -> None:
        self._log.error("worker_stuck", task_crashed=True, attempts=len(self._slots.attempts()), exc_info=crash)
        self._leave(STUCK)
