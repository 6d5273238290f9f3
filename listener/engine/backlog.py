"""How long the queue is, for those who watch it: asked in the background, and only while somebody reads it.

Knows when to ask; does not know whom, nor how the answer is shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from listener.contract import Log
from listener.errors import StoreError
from listener.ports import Clock

PAUSE_S = 10.0
"""At most so often, however many read: to count a long queue costs the database something."""
STALE_S = 120.0
"""An answer counts for two scrapes of a slow watcher; then it is better to say nothing."""


@dataclass(frozen=True, slots=True)
class KindBacklog:
    """The open sessions of a kind, and how many living workers serve it. Units: oldest_wait_s is seconds."""

    kind: str
    queued: int
    delayed: int
    processing: int
    oldest_wait_s: float
    workers: int


class Backlog:
    """The newest answer about the queue. `refusal` tells why the database is not to be asked now, if so."""

    def __init__(
        self,
        ask: Callable[[], Awaitable[Sequence[KindBacklog]]],
        refusal: Callable[[], str | None],
        clock: Clock,
        log: Log,
    ) -> None:
        self._ask = ask
        self._refusal = refusal
        self._clock = clock
        self._log = log
        self._wanted = asyncio.Event()
        self._answer: tuple[float, Sequence[KindBacklog]] | None = None

    def read(self) -> Sequence[KindBacklog]:
        """The newest answer, nothing when it is too old; whoever reads lets it be asked for anew."""
        self._wanted.set()
        if self._answer is None or self._clock.monotonic() - self._answer[0] > STALE_S:
            return ()
        return self._answer[1]

    async def run(self) -> None:
        """Ask after each reading, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self.turn()
            await asyncio.sleep(PAUSE_S)

    async def turn(self) -> None:
        """Ask once; a database that does not answer is the heartbeat's to report, and no circuit hears of this."""
        if self._refusal() is not None:
            return
        try:
            answer = await self._ask()
        except StoreError as error:
            self._log.info("backlog_unknown", error=str(error))
            return
        self._answer = self._clock.monotonic(), answer
