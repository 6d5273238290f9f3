"""An attempt's time: it runs from the start and stands still while the attempt only waits in line for a device.

Knows the limit and who waits; does not know for what.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from listener.engine.interruption import Interruption
from listener.ports import Clock


class Allowance:
    """How long an attempt may take. Units: seconds.

    Waiting does not count, for as long again as the limit at most: nothing lasts longer than twice its limit.
    """

    def __init__(self, limit_s: float, clock: Clock, interruption: Interruption) -> None:
        self._limit_s = limit_s
        self._clock = clock
        self._interruption = interruption
        self._began = clock.monotonic()
        self._places: dict[object, bool] = {}
        self._waited_s = 0.0
        self._since: float | None = None
        self._scope: asyncio.Timeout | None = None

    def left_s(self) -> float:
        """Seconds until the limit as things stand; never negative."""
        end = self._began + self._limit_s + min(self.waited_s(), self._limit_s)
        return max(0.0, end - self._clock.monotonic())

    def waited_s(self) -> float:
        """Seconds in which the attempt only waited."""
        return self._waited_s + (0.0 if self._since is None else self._clock.monotonic() - self._since)

    @contextmanager
    def governing(self, scope: asyncio.Timeout) -> Iterator[None]:
        """Move the end of this scope with the limit."""
        self._scope = scope
        try:
            yield
        finally:
            self._scope = None

    def waits(self, place: object) -> None:
        """One of the attempt's requests stands in line."""
        self._note(place, waits=True)

    def works(self, place: object) -> None:
        """It has left the line: from now on it is worked on."""
        self._note(place, waits=False)

    def ends(self, place: object) -> None:
        """It is over."""
        if self._places.pop(place, None) is not None:
            self._look()

    def _note(self, place: object, *, waits: bool) -> None:
        if self._places.get(place) is not waits:
            self._places[place] = waits
            self._look()

    def _look(self) -> None:
        """Stop the time while all that goes on is waiting, and let it run else."""
        now = self._clock.monotonic()
        still = bool(self._places) and all(self._places.values())
        if still == (self._since is not None):
            return
        if self._since is not None:
            self._waited_s += now - self._since
        self._since = now if still else None
        if self._scope is None or self._scope.expired() or self._interruption.is_requested:
            return
        left_s = self._began + 2 * self._limit_s - now if still else self.left_s()
        self._scope.reschedule(asyncio.get_running_loop().time() + max(0.0, left_s))
