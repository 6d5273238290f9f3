"""Whether this worker may claim now, and if not, why in words. Knows conditions; does not know what they measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from listener.contract import Log
from listener.ports import Clock

Condition = Callable[[], str | None]
"""Returns the reason against claiming, or None."""
HOLD = "hold"
LASTING_S = 60.0
"""A pause of this length is no hiccup: it is told once more, as an error, for somebody to be woken by."""


class Admission:
    """All conditions for claiming by name; the first that refuses is the cause, and each new cause is logged once."""

    def __init__(
        self,
        conditions: Mapping[str, Condition],
        clock: Clock,
        log: Log,
        most: Callable[[int], int] = lambda free: free,
    ) -> None:
        self._conditions = dict(conditions)
        self._clock = clock
        self._log = log
        self._hold: tuple[str, float] | None = None
        self.most = most
        self._cause: str | None = None
        self._since = 0.0
        self._is_told = False

    @property
    def causes(self) -> tuple[str, ...]:
        """Every name that a cause can have."""
        return (HOLD, *self._conditions)

    def hold(self, reason: str, for_s: float) -> None:
        """Refuse every claim for a while."""
        self._hold = (reason, self._clock.monotonic() + for_s)

    def held(self) -> str | None:
        """Why claims are held, if they are."""
        if self._hold is None or self._clock.monotonic() >= self._hold[1]:
            self._hold = None
            return None
        return self._hold[0]

    def refusal(self) -> str | None:
        """The first reason against claiming now."""
        cause, reason = self._first()
        if cause != self._cause:
            self._cause, self._since, self._is_told = cause, self._clock.monotonic(), False
            if reason is not None:
                self._log.info("claims_paused", cause=cause, reason=reason)
            else:
                self._log.info("claims_resumed")
        elif cause is not None and not self._is_told and (lasting_s := self._lasting_s()) >= LASTING_S:
            self._is_told = True
            self._log.error("claims_still_paused", cause=cause, reason=reason, lasting_s=round(lasting_s))
        return reason

    def _lasting_s(self) -> float:
        return self._clock.monotonic() - self._since

    def cause(self) -> str | None:
        """The name of the first reason against claiming now; nothing is logged for having been asked."""
        return self._first()[0]

    def _first(self) -> tuple[str | None, str | None]:
        if (held := self.held()) is not None:
            return HOLD, held
        for name, condition in self._conditions.items():
            if (reason := condition()) is not None:
                return name, reason
        return None, None
