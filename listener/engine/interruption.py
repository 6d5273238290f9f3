"""One attempt's interruption: why it has to stop, and how its code is made to.

Knows the three reasons and their order; does not know who asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from listener.errors import AttemptInterrupted, Cancelled, Draining, LeaseLost

# A lost lease forbids every write, so it beats a cancellation, which beats a drain.
_STRENGTH: dict[type[AttemptInterrupted], int] = {LeaseLost: 3, Cancelled: 2, Draining: 1}


class Interruption:
    """Holds the strongest reason so far and cancels the guarded code at its next await."""

    def __init__(self) -> None:
        self._reason: AttemptInterrupted | None = None
        self._scope: asyncio.Timeout | None = None

    @property
    def is_requested(self) -> bool:
        """Whether the attempt has to stop."""
        return self._reason is not None

    def request(self, reason: AttemptInterrupted) -> None:
        """Ask the attempt to stop; after the guarded code has ended it changes nothing."""
        if self._reason is not None and _strength(self._reason) >= _strength(reason):
            return
        self._reason = reason
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())

    def check(self) -> None:
        """Raise the reason, if there is one.

        Raises: Cancelled, LeaseLost, Draining.
        """
        if self._reason is not None:
            raise self._reason

    @contextmanager
    def guard(self, scope: asyncio.Timeout) -> Iterator[None]:
        """Let `request` end the code under this time limit."""
        self._scope = scope
        try:
            self.check()
            yield
        finally:
            self._scope = None


def _strength(reason: AttemptInterrupted) -> int:
    return _STRENGTH.get(type(reason), 0)
