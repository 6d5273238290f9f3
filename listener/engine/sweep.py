"""The periodic safety net: rescues what dead workers held and promotes what became due.

Knows one store call and its interval; does not know how the database decides.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from listener.contract import Log
from listener.engine.wakeup import opened
from listener.errors import StoreError
from listener.ports import SessionStore, Swept

JITTER = 0.2


class Sweep:
    """Calls the sweep every `interval_s` seconds, a little jittered so that workers do not march in step."""

    def __init__(self, store: SessionStore, interval_s: float, wake: Callable[[str], None], log: Log) -> None:
        self._store = store
        self._interval_s = interval_s
        self._wake = wake
        self._log = log
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """End `run` after the call under way."""
        self._stopped.set()

    async def run(self) -> None:
        """Sweep until stopped."""
        while not self._stopped.is_set():
            await self.turn()
            spread = self._interval_s * JITTER
            await opened(self._stopped, self._interval_s + random.uniform(-spread, spread))  # noqa: S311 - jitter

    async def turn(self) -> None:
        """Sweep once; an unreachable store is the heartbeat's to report."""
        try:
            swept = await self._store.sweep()
        except StoreError as error:
            self._log.warning("sweep_failed", error=str(error))
            return
        if swept != Swept():
            self._log.info("swept", rescued=swept.rescued, failed=swept.failed, promoted=swept.promoted)
        if swept.rescued or swept.promoted:
            self._wake("sweep")
