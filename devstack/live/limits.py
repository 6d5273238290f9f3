"""How much a project may do, and the pace of the server's own chores; and how a rate is counted."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What a self-hosted project is allowed by default.

    Units: the rates are averages over the last `window_s` seconds, so a short burst may be higher.
    Source: measured on supabase/realtime v2.129.8.
    """

    events_per_s: float = 100
    joins_per_s: float = 100
    window_s: float = 60
    channels: int = 100
    """Of one connection."""
    connections: int = 200
    broadcast_bytes: int = 3_000_000
    idle_s: float = 60
    publication_check_s: float = 60


class Rate:
    """Counts what happened within the window."""

    def __init__(self, per_s: float, window_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = per_s * window_s
        self._per_s = per_s
        self._window_s = window_s
        self._clock = clock
        self._counts: deque[tuple[float, int]] = deque()
        self._total = 0

    def add(self, count: int = 1) -> None:
        """Count what happened now."""
        self._counts.append((self._clock(), count))
        self._total += count

    @property
    def exceeded(self) -> bool:
        """True while the average is above what is allowed."""
        self._forget()
        return self._total > self._most

    def fits(self, count: int) -> bool:
        """True when so many at once are no more than a second may bring."""
        self._forget()
        return self._total / self._window_s + count <= self._per_s

    def _forget(self) -> None:
        past = self._clock() - self._window_s
        while self._counts and self._counts[0][0] <= past:
            self._total -= self._counts.popleft()[1]
