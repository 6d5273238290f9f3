"""Starts attempts and frees their slots; knows neither the queue nor what an attempt does."""

from __future__ import annotations

import asyncio

from listener.contract import Session
from listener.engine.admission import Admission
from listener.engine.attempt import AttemptRunner
from listener.engine.slots import Running, Slots
from listener.ports import Attempt
from listener.telemetry import log

UNWRITTEN_HOLD_S = 30.0


class AttemptPool:
    """The running attempts, each a task of the daemon's group."""

    def __init__(
        self,
        group: asyncio.TaskGroup,
        runner: AttemptRunner,
        slots: Slots,
        admission: Admission,
    ) -> None:
        self._group = group
        self._runner = runner
        self._slots = slots
        self._admission = admission
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, session: Session) -> None:
        """Take a slot and run the attempt; returns at once. The same claim answered twice starts it once."""
        running = Running(
            Attempt(session.id, session.attempt),
            session.kind,
            started_at=self._runner.outside.clock.monotonic(),
            is_last_try=session.failures + 1 >= session.max_attempts,
            created_at=session.created_at,
        )
        if running.attempt in self._slots.attempts():
            return
        self._slots.take(running)
        name = f"attempt:{session.id}.{session.attempt}"
        task = self._group.create_task(self._run(session, running), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def abandon(self, within_s: float) -> int:
        """Cancel what still runs; tells how many attempts did not even end by that."""
        if not self._tasks:
            return 0
        for task in self._tasks:
            task.cancel()
        _, stuck = await asyncio.wait(self._tasks, timeout=within_s)
        return len(stuck)

    async def _run(self, session: Session, running: Running) -> None:
        with log.attempt(session):
            try:
                settled = await self._runner.run(session, running, log.get("attempt"))
                if settled.outcome == "unwritten":
                    # The heartbeat gives the session back; without a pause it would be claimed and run again at once.
                    self._admission.hold("the last verdict could not be written", UNWRITTEN_HOLD_S)
            finally:
                self._slots.give_back(running)
