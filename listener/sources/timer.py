"""The timer source: it wakes every few seconds, and every second while Realtime is not known to work."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

STALE_INTERVAL_S = 1.0
JITTER = 0.2


class TimerSource:
    """Wake-ups that need nobody. Units: interval_s is seconds."""

    name = "timer"

    def __init__(self, interval_s: float, others_fresh: Callable[[], bool]) -> None:
        self._interval_s = interval_s
        self._others_fresh = others_fresh

    def fresh(self) -> bool:
        """A timer always works."""
        return True

    async def run(self, wake: Callable[[str], None]) -> None:
        """Wake until cancelled."""
        while True:
            interval_s = self._interval_s if self._others_fresh() else min(self._interval_s, STALE_INTERVAL_S)
            await asyncio.sleep(interval_s * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 - jitter
            wake("timer")
