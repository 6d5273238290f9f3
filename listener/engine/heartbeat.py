"""The worker's lease: one heartbeat renews all its attempts, and brings back what to cancel and what is lost.

Knows the zombie rule; does not know what an attempt does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from listener.contract import Log
from listener.engine.backoff import Backoff
from listener.engine.slots import Slots
from listener.engine.wakeup import opened
from listener.errors import Cancelled, ConfigError, LeaseLost, SchemaTooNew, StoreError
from listener.ports import Clock, Pulse, Registration, SessionStore, WatchedTable

LOOK_S = 1.0
"""How soon an owner's cancel is heard; the step under way ends first."""
SCHEMA_VERSION = 1
"""The schema that this code was built for: an older one lacks what it needs, a newer one says whether it serves it."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who hears of heartbeats: the watched tables after each, and the time from before each was sent."""

    open_claims: Callable[[], Sequence[UUID]]
    on_tables: Callable[[Sequence[WatchedTable]], None]
    on_beat: Callable[[float], None]
    wake: Callable[[str], None]


class Heartbeat:
    """Registers the worker and keeps its lease. Units: interval_s is seconds."""

    def __init__(
        self,
        *,
        store: SessionStore,
        registration: Registration,
        interval_s: float,
        slots: Slots,
        listeners: Listeners,
        clock: Clock,
        log: Log,
    ) -> None:
        self._store = store
        self._registration = registration
        self._interval_s = interval_s
        self._slots = slots
        self._listeners = listeners
        self._clock = clock
        self._log = log
        self._stopped = asyncio.Event()
        self._backoff = Backoff(limit_s=min(interval_s, 5.0))
        self._known = False
        self._state: Callable[[], str | None] = lambda: None
        self._renewed_at: float | None = None
        self.lease_s = registration.lease_s
        self.last_error: str | None = "not registered yet"

    def says(self, state: Callable[[], str | None]) -> None:
        """Tell the store this with every heartbeat."""
        self._state = state

    def refusal(self) -> str | None:
        """Why the lease does not allow a claim, if it does not."""
        if not self._known or self._renewed_at is None:
            return f"the database does not know this worker: {self.last_error}"
        if self._left_s() <= 0:
            return f"the lease ran out: {self.last_error}"
        return None

    def age_s(self) -> float | None:
        """Seconds since the newest heartbeat that was answered was sent; None before the first."""
        return None if self._renewed_at is None else self._clock.monotonic() - self._renewed_at

    def left_s(self) -> float:
        """Seconds until the lease runs out; never negative."""
        return max(0.0, self._left_s()) if self._renewed_at is not None else 0.0

    def stop(self) -> None:
        """End `run` after the call under way."""
        self._stopped.set()

    async def run(self) -> None:
        """Keep the lease until stopped."""
        while not self._stopped.is_set():
            delay_s = await self.turn()
            await opened(self._stopped, delay_s)

    async def watch_cancels(self) -> None:
        """Look for sessions to cancel while something runs, until cancelled: the next heartbeat may be far away."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._known and self._slots.attempts():
                with suppress(StoreError):
                    self._cancel(await self._store.requested_cancels())

    async def turn(self) -> float:
        """Register or renew once; returns the delay before the next turn."""
        self._stop_when_zombie()
        try:
            async with asyncio.timeout(self._patience_s()):
                if self._known:
                    await self.beat()
                else:
                    await self._register()
        except (StoreError, TimeoutError) as error:
            return self._failed(error)
        self._backoff.reset()
        self.last_error = None
        return self._interval_s if self._known else 0.0

    async def beat(self) -> None:
        """Send one heartbeat and deliver what it brings back."""
        sent_at = self._clock.monotonic()
        pulse = await self._store.heartbeat(self._slots.attempts(), self._listeners.open_claims(), self._state())
        require_served(pulse.oldest_worker)
        self._known = pulse.known
        if not pulse.known:
            self._log.warning("worker_unknown", reason="the database forgot this worker; it registers again")
            return
        self._renewed_at = sent_at
        self._listeners.on_beat(sent_at)
        self._deliver(pulse)

    async def beat_empty(self) -> None:
        """Say that nothing runs here any more, so that the database gives back what it still counts as ours."""
        if self._known:
            await self._store.heartbeat([], [], self._state())

    async def _register(self) -> None:
        sent_at = self._clock.monotonic()
        registered = await self._store.register(self._registration)
        require_served(registered.oldest_worker)
        require_new_enough(registered.schema_version)
        self._known, self._renewed_at, self.lease_s = True, sent_at, registered.lease_s
        self._log.info("worker_registered", lease_s=self.lease_s, tables=[table.table for table in registered.tables])
        self._listeners.on_tables(registered.tables)
        self._listeners.wake("registered")

    def _deliver(self, pulse: Pulse) -> None:
        self._cancel(pulse.cancel)
        for attempt in pulse.lost:
            self._slots.interrupt(attempt, LeaseLost())
        self._listeners.on_tables(pulse.tables)
        if pulse.promoted:
            self._listeners.wake("promoted")

    def _cancel(self, sessions: Sequence[UUID]) -> None:
        for session in sessions:
            self._slots.interrupt_session(session, Cancelled())

    def _patience_s(self) -> float | None:
        """How long an answer is waited for: after the lease ran out it comes too late for running attempts."""
        return self._left_s() if self._left_s() > 0 and self._slots.attempts() else None

    def _left_s(self) -> float:
        if self._renewed_at is None:
            return self.lease_s
        return self._renewed_at + self.lease_s - self._clock.monotonic()

    def _stop_when_zombie(self) -> None:
        """Stop all attempts when the lease ran out by this machine's monotonic clock: others may hold them now."""
        if self._left_s() > 0:
            return
        stopped = self._slots.interrupt_all(LeaseLost)
        if stopped:
            self._log.error("lease_expired", attempts_stopped=stopped, error=self.last_error)

    def _failed(self, error: StoreError | TimeoutError) -> float:
        if isinstance(error, TimeoutError):
            self.last_error = "no answer before the lease ran out"
        else:
            self.last_error = str(error)
        self._stop_when_zombie()
        delay_s = self._backoff.next_s()
        # Each again after a second or five: the first of a row tells where it came from.
        trace = error if self._backoff.failures == 1 else None
        self._log.warning("heartbeat_failed", error=self.last_error, again_in_s=round(delay_s, 2), exc_info=trace)
        return min(delay_s, self._left_s()) if self._left_s() > 0 else delay_s


def require_served(oldest_worker: int) -> None:
    """Check that the schema still serves this worker. Raises: SchemaTooNew."""
    if oldest_worker > SCHEMA_VERSION:
        raise SchemaTooNew(
            f"the database serves workers built for schema version {oldest_worker} or newer, this one was built for "
            f"{SCHEMA_VERSION}: install a newer version of listener"
        )


def require_new_enough(schema_version: int) -> None:
    """Check that the schema has what this worker needs. Raises: ConfigError."""
    if schema_version < SCHEMA_VERSION:
        raise ConfigError(
            f"the database has schema version {schema_version}, this worker needs {SCHEMA_VERSION}: "
            "bring in the newer migrations with `listener migrate`"
        )
