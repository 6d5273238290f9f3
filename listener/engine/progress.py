"""Writes one attempt's progress, throttled; the code that reports never waits for the network.

Knows when a report is worth a write; does not know what the steps are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from listener.engine.wakeup import opened
from listener.ports import Clock

MIN_INTERVAL_S = 1.0
MIN_SHARE = 0.05 - 1e-9  # six of a hundred after one is five percent more, whatever floats say
CLOSE_S = 2.0


@dataclass(frozen=True, slots=True)
class Report:
    """How far an attempt is."""

    done: int
    total: int
    note: str = ""

    @property
    def share(self) -> float:
        """Between 0 and 1."""
        return min(1.0, max(0.0, self.done / self.total)) if self.total > 0 else 0.0

    @property
    def is_last(self) -> bool:
        """Whether nothing is left to do."""
        return self.total > 0 and self.done >= self.total


class ProgressWriter:
    """Sends the newest report at most once a second and only when it says something new; first and last always.

    Units: min_interval_s is seconds.
    """

    def __init__(
        self, send: Callable[[Report], Awaitable[None]], clock: Clock, min_interval_s: float = MIN_INTERVAL_S
    ) -> None:
        self._send = send
        self._clock = clock
        self._min_interval_s = min_interval_s
        self._latest: Report | None = None
        self._sent: Report | None = None
        self._sent_at = 0.0
        self._changed = asyncio.Event()
        self._closing = False

    def report(self, report: Report) -> None:
        """Take the newest report; returns at once."""
        self._latest = report
        self._changed.set()

    async def run(self) -> None:
        """Write until closed."""
        while not self._closing:
            if self._latest is None or not self._is_due():
                self._changed.clear()
                await opened(self._changed, self._pause_s())
                continue
            self._sent, self._sent_at = self._latest, self._clock.monotonic()
            await self._send(self._latest)

    def close(self) -> None:
        """Let `run` end after the write that is under way."""
        self._closing = True
        self._changed.set()

    def _pause_s(self) -> float | None:
        """How long to wait for a newer report: until the held-back one is due, or for ever."""
        if not self._is_news():
            return None
        return max(0.0, self._due_at() - self._clock.monotonic())

    def _is_due(self) -> bool:
        return self._is_news() and self._clock.monotonic() >= self._due_at()

    def _is_news(self) -> bool:
        if self._latest is None or self._latest == self._sent:
            return False
        if self._sent is None or self._latest.is_last or self._latest.note != self._sent.note:
            return True
        return self._latest.share - self._sent.share >= MIN_SHARE

    def _due_at(self) -> float:
        if self._sent is None or (self._latest is not None and self._latest.is_last):
            return 0.0
        return self._sent_at + self._min_interval_s
