"""Whether this worker may claim now, and if not, why in words. Knows conditions; does not know what they measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from listener.contract import Log
from listener.ports import Clock

Condition = Callable[[], str | None]
"""Returns the reason against claiming, or None."""


class Admission:
    """All conditions for claiming; each change of the reason is logged once."""

    def __init__(self, conditions: Sequence[Condition], clock: Clock, log: Log) -> None:
        self._conditions = conditions
        self._clock = clock
        self._log = log
        self._hold: tuple[str, float] | None = None
        self._last: str | None = None

    def hold(self, reason: str, for_s: float) -> None:
        """Refuse every claim for a while."""
        self._hold = (reason, self._clock.monotonic() + for_s)

    def refusal(self) -> str | None:
        """The first reason against claiming now."""
        reason = self._held() or next(filter(None, (condition() for condition in self._conditions)), None)
        if reason != self._last:
            self._last = reason
            if reason:
                self._log.info("claims_paused", reason=reason)
            else:
                self._log.info("claims_resumed")
        return reason

    def _held(self) -> str | None:
        if self._hold is None or self._clock.monotonic() >= self._hold[1]:
            self._hold = None
            return None
        return self._hold[0]
