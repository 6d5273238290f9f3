"""The claim loop: free slots -> one claim -> attempts. Each turn returns the delay before the next one.

Knows the latch, the slots and the store; does not know who opened the latch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from listener.contract import Log, Session
from listener.engine.admission import Admission
from listener.engine.backoff import Backoff
from listener.engine.shift import Shift
from listener.engine.slots import Slots
from listener.engine.wakeup import WakeUp, opened
from listener.errors import KeyRefused, StoreError, StoreRejected
from listener.ports import SessionStore

REFUSED_DELAY_S = 0.25


@dataclass(frozen=True, slots=True)
class OpenClaim:
    """A claim whose answer has not been seen: it is made again under the same id until one arrives."""

    id: UUID
    limit: int


class ClaimLoop:
    """Claims as many sessions as there are free slots, whenever the latch opens."""

    def __init__(
        self,
        *,
        store: SessionStore,
        kinds: Sequence[str],
        slots: Slots,
        wakeup: WakeUp,
        admission: Admission,
        start: Callable[[Session], None],
        log: Log,
        shift: Shift | None = None,
    ) -> None:
        self._store = store
        self._shift = shift or Shift()
        self._kinds = kinds
        self._slots = slots
        self._wakeup = wakeup
        self._admission = admission
        self._start = start
        self._log = log
        self._backoff = Backoff()
        self._stopped = asyncio.Event()
        self._open: OpenClaim | None = None

    def open_claims(self) -> list[UUID]:
        """Claims that may hold sessions which this worker does not know yet, for the heartbeat."""
        return [self._open.id] if self._open else []

    def stop(self) -> None:
        """Claim no more; a claim under way is finished first."""
        self._stopped.set()
        self._wakeup.set("stop")

    async def run(self) -> None:
        """Claim until stopped."""
        while not self._stopped.is_set():
            delay_s = await self._turn()
            if delay_s is None:
                await self._wakeup.wait()
            elif delay_s > 0:
                await opened(self._stopped, delay_s)

    async def _turn(self) -> float | None:
        """One look at the queue; None means: wait for the latch."""
        if self._slots.free == 0 or not self._shift.is_open:
            self._wakeup.clear()
            return None if self._slots.free == 0 or not self._shift.is_open else 0.0
        if self._admission.refusal() is not None:
            return REFUSED_DELAY_S
        claim = self._open = self._open or OpenClaim(uuid4(), self._admission.most(self._slots.free))
        self._wakeup.clear()
        try:
            sessions = await self._store.claim(claim.id, self._kinds, claim.limit)
        except StoreError as error:
            return self._failed(error)
        return self._claimed(claim, sessions)

    def _claimed(self, claim: OpenClaim, sessions: Sequence[Session]) -> float | None:
        """Start what came; the claim closes in the same instant, so no heartbeat sees neither of them."""
        self._backoff.reset()
        self._shift.looks += 1
        for session in sessions:
            self._start(session)
        self._open = None
        return 0.0 if len(sessions) >= claim.limit else None

    def _failed(self, error: StoreError) -> float:
        delay_s = self._backoff.next_s()
        level = self._log.error if isinstance(error, StoreRejected | KeyRefused) else self._log.warning
        trace = error if isinstance(error, StoreRejected) else None
        level("claim_failed", error=str(error), again_in_s=round(delay_s, 2), exc_info=trace)
        return delay_s
