"""How the daemon stops: claim no more, let running work end, give back what is left.

Knows the order and the patience; does not know signals or HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum

from listener.contract import Log
from listener.engine.slots import Slots
from listener.engine.wakeup import opened
from listener.errors import Draining

RELEASE_S = 20.0
"""How long released attempts may take to settle; then the heartbeat or the sweep gives them back."""


LAST_CLAIM_S = 15.0
"""Longer than a claim's own timeouts."""


class Phase(Enum):
    """Where a drain stands."""

    NONE = "none"
    FINISHING = "finishing"
    RELEASING = "releasing"


class Drain:
    """One drain. Units: grace_s is seconds."""

    def __init__(self, slots: Slots, stop_claiming: Callable[[], None], grace_s: float, log: Log) -> None:
        self._slots = slots
        self._stop_claiming = stop_claiming
        self._grace_s = grace_s
        self._log = log
        self._requested = asyncio.Event()
        self._hurried = asyncio.Event()
        self.phase = Phase.NONE

    def refusal(self) -> str | None:
        """Why nothing may be claimed, if so."""
        return None if self.phase is Phase.NONE else "draining"

    def request(self) -> None:
        """Begin to drain; asked a second time, give everything back now."""
        if self.phase is not Phase.NONE:
            self._hurried.set()
            return
        self.phase = Phase.FINISHING
        self._stop_claiming()
        self._requested.set()
        self._log.info("drain_started", running=len(self._slots.attempts()), grace_s=self._grace_s)

    async def run(self, claiming: asyncio.Task[None] | None = None) -> None:
        """Wait for the request, then until every slot is free (or patience is up).

        A claim under way may still bring sessions: its end comes first.
        """
        await self._requested.wait()
        if claiming is not None:
            await asyncio.wait({claiming}, timeout=LAST_CLAIM_S)
        if not await self._finished_in_time():
            self.phase = Phase.RELEASING
            released = self._slots.interrupt_all(Draining)
            self._log.warning("drain_releases", attempts=released, hurried=self._hurried.is_set())
            await self._slots.idle(RELEASE_S)
        self._log.info("drain_done", left=len(self._slots.attempts()))

    async def _finished_in_time(self) -> bool:
        """Whether all attempts ended within the grace and before the second request."""
        async with asyncio.TaskGroup() as group:
            idle = group.create_task(self._slots.idle(self._grace_s))
            hurried = group.create_task(opened(self._hurried, None))
            await asyncio.wait({idle, hurried}, return_when=asyncio.FIRST_COMPLETED)
            idle.cancel()
            hurried.cancel()
        return not self._slots.attempts()
