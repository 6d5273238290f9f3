"""The attempts that run now, and how many more may; knows nothing of what they do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from listener.engine.interruption import Interruption
from listener.engine.wakeup import opened
from listener.errors import AttemptInterrupted
from listener.ports import Attempt


@dataclass(eq=False, slots=True)
class Running:
    """One attempt as the rest of the engine sees it.

    Units: started_at is seconds of the engine's monotonic clock. is_last_try: another failure ends the session.
    """

    attempt: Attempt
    kind: str
    interruption: Interruption = field(default_factory=Interruption)
    started_at: float = 0.0
    is_last_try: bool = False
    created_at: datetime | None = None


class Slots:
    """Capacity for attempts: every running one holds a slot until it is settled."""

    def __init__(self, count: int, on_free: Callable[[str], None]) -> None:
        self.count = count
        self._on_free = on_free
        self._running: dict[Attempt, Running] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def free(self) -> int:
        """How many more attempts may start."""
        return max(0, self.count - len(self._running))

    def __iter__(self) -> Iterator[Running]:
        return iter(tuple(self._running.values()))

    def attempts(self) -> list[Attempt]:
        """The fences of all that runs, for the heartbeat."""
        return list(self._running)

    def running(self, attempt: Attempt) -> Running | None:
        """One attempt, if it runs here."""
        return self._running.get(attempt)

    def take(self, running: Running) -> None:
        """Occupy a slot."""
        self._running[running.attempt] = running
        self._idle.clear()

    def give_back(self, running: Running) -> None:
        """Free the slot of a settled attempt and say so."""
        self._running.pop(running.attempt, None)
        if not self._running:
            self._idle.set()
        self._on_free("slot_free")

    def interrupt(self, attempt: Attempt, reason: AttemptInterrupted) -> None:
        """Interrupt one attempt, if it still runs."""
        if (running := self._running.get(attempt)) is not None:
            running.interruption.request(reason)

    def interrupt_session(self, session: UUID, reason: AttemptInterrupted) -> None:
        """Interrupt the attempt of a session, whatever its number."""
        for running in self:
            if running.attempt.session == session:
                running.interruption.request(reason)

    def interrupt_all(self, reason_of: Callable[[], AttemptInterrupted]) -> int:
        """Interrupt everything, each with an exception of its own; tells how many."""
        running = list(self)
        for one in running:
            one.interruption.request(reason_of())
        return len(running)

    async def idle(self, timeout_s: float | None) -> bool:
        """Wait until nothing runs; false when the time was up first."""
        return await opened(self._idle, timeout_s)
