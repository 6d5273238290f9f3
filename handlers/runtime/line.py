"""Who waits for the device, in order of arrival: runs, and engines of another kind that want it for themselves.

Knows no process; asks nobody whether a run can succeed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from handlers.runtime.runs import Run
from listener.errors import ModelUnavailable


@dataclass(eq=False, slots=True)
class Loan:
    """The whole device, for an engine that runs as a process of its own."""

    borrower: str
    granted: asyncio.Event = field(default_factory=asyncio.Event)
    returned: asyncio.Event = field(default_factory=asyncio.Event)
    refusal: str = ""

    def refuse(self, reason: str) -> None:
        """Answer that the device will not be lent."""
        self.refusal = reason
        self.granted.set()


class Line:
    """First come, first served; `joined` tells whether two runs may share one batch."""

    def __init__(self, joined: Callable[[Run, Run], bool]) -> None:
        self._joined = joined
        self._waiting: deque[Run | Loan] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def enter(self, comer: Run | Loan) -> None:
        """Stand at the end."""
        self._waiting.append(comer)

    def leave(self, comer: Run | Loan) -> bool:
        """Step out; False for one that no longer waits."""
        if comer not in self._waiting:
            return False
        self._waiting.remove(comer)
        return True

    def first(self) -> Run | Loan | None:
        """Look at who is next."""
        return self._waiting[0] if self._waiting else None

    def take(self) -> Run | Loan:
        """Call the first one."""
        return self._waiting.popleft()

    def take_alike(self, first: Run, images_max: int) -> list[Run]:
        """Call those who may share the first one's batch, up to so many images; a loan is never overtaken."""
        room = images_max - len(first.request.seeds)
        alike: list[Run] = []
        for comer in list(self._waiting):
            if isinstance(comer, Loan):
                break
            if self._joined(first, comer) and len(comer.request.seeds) <= room:
                room -= len(comer.request.seeds)
                self._waiting.remove(comer)
                alike.append(comer)
        return alike

    def refuse(self, reason: str, kind: str | None = None) -> None:
        """Send away those who wait for a kind, or everybody."""
        for comer in list(self._waiting):
            if isinstance(comer, Run) and kind in (None, comer.request.kind):
                self._waiting.remove(comer)
                comer.events.put_nowait(ModelUnavailable(reason, details={"kind": comer.request.kind}))
            elif isinstance(comer, Loan) and kind is None:
                self._waiting.remove(comer)
                comer.refuse(reason)
