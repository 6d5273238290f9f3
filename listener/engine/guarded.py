"""The ports with their circuit around them: every call is counted, timed, and told to the breaker.

Knows which calls are not made while a circuit is open; does not know what a dependency is to blame for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from listener.contract import (
    Fetched,
    SavedArtifact,
    Session,
)
from listener.engine.gauge import Gauge
from listener.engine.slots import Slots
from listener.errors import ListenerError, StoreRejected, StoreUnavailable
from listener.ports import (
    Accepted,
    ArtifactStore,
    Attempt,
    Cost,
    Failure,
    Moderator,
    Outcome,
    Permitted,
    Pulse,
    Registered,
    Registration,
    SessionStore,
    Swept,
)

T = TypeVar("T")
LOOK_S = 0.2
"""How soon the recovery of whoever makes a kind is seen: as soon as that of a circuit."""


class GuardedStore:
    """The session store. What nobody waits for is not called while the circuit is open; settlements always are.

    `claims_rejected` is why the newest claim was rejected: a missing grant, a schema that does not fit.
    """

    def __init__(self, store: SessionStore, gauge: Gauge, slots: Slots) -> None:
        self._store = store
        self._gauge = gauge
        self._slots = slots
        self._servable: Callable[[Sequence[str]], Sequence[str]] = tuple
        self.claims_rejected: str | None = None

    def serves_only(self, servable: Callable[[Sequence[str]], Sequence[str]]) -> None:
        """Claim only those of the kinds that this gives back."""
        self._servable = servable

    async def tell_of_recoveries(self, kinds: Sequence[str], wake: Callable[[str], None]) -> None:
        """Wake when more of the kinds can be served than before, until cancelled: what waits was announced long ago."""
        before = frozenset(self._servable(kinds))
        while True:
            await asyncio.sleep(LOOK_S)
            now = frozenset(self._servable(kinds))
            if now - before:
                wake("servable")
            before = now

    async def register(self, registration: Registration) -> Registered:
        """Introduce this worker."""
        return await self._call("register", self._store.register(registration))

    async def heartbeat(
        self, running: Sequence[Attempt], open_claims: Sequence[UUID], state: str | None = None
    ) -> Pulse:
        """Renew the lease: never held back, and the first to see that the database is there again."""
        return await self._call("heartbeat", self._store.heartbeat(running, open_claims, state))

    async def claim(self, claim_id: UUID, kinds: Sequence[str], limit: int) -> list[Session]:
        """Take the next due sessions of the kinds that can be served now, and count how long they waited."""
        metrics = self._gauge.metrics
        kinds = self._servable(kinds)
        if not kinds:
            return []
        try:
            sessions = await self._call("claim", self._store.claim(claim_id, kinds, limit))
        except ListenerError as error:
            self.claims_rejected = str(error) if isinstance(error, StoreRejected) else self.claims_rejected
            metrics.claim_failed()
            raise
        self.claims_rejected = None
        metrics.claim_answered(len(sessions))
        now = self._gauge.clock.now()
        for session in sessions:
            pickup_s = (now - session.created_at).total_seconds() if session.attempt == 1 else None
            metrics.session_claimed(session.kind, pickup_s)
        return sessions

    async def report_progress(self, attempt: Attempt, done: int, total: int, note: str) -> Outcome:
        """Show how far an attempt is; not while the circuit is open."""
        self._require_closed()
        return await self._call("report_progress", self._store.report_progress(attempt, done, total, note))

    async def add_artifact(self, attempt: Attempt, artifact: SavedArtifact) -> Outcome:
        """Record a stored file."""
        return await self._call("add_artifact", self._store.add_artifact(attempt, artifact))

    async def complete(
        self, attempt: Attempt, result: Mapping[str, Any], refund_credits: int = 0, cost: Cost | None = None
    ) -> Outcome:
        """Settle as completed."""
        outcome = await self._call("complete", self._store.complete(attempt, result, refund_credits, cost))
        running = self._slots.running(attempt)
        if outcome.outcome != "refused" and running is not None and running.created_at is not None:
            took_s = (self._gauge.clock.now() - running.created_at).total_seconds()
            self._gauge.metrics.session_completed(running.kind, took_s)
        return self._settled("completed", outcome)

    async def fail(self, attempt: Attempt, failure: Failure, cost: Cost | None = None) -> Outcome:
        """Settle as failed."""
        outcome = await self._call("fail", self._store.fail(attempt, failure, cost))
        return self._settled("failed", outcome, failure.code)

    async def cancel(
        self,
        attempt: Attempt,
        result: Mapping[str, Any] | None = None,
        refund_credits: int | None = None,
        cost: Cost | None = None,
    ) -> Outcome:
        """Settle as cancelled."""
        outcome = await self._call("cancel", self._store.cancel(attempt, result or {}, refund_credits, cost))
        return self._settled("cancelled", outcome)

    async def retry(self, attempt: Attempt, failure: Failure, delay_s: float, cost: Cost | None = None) -> Outcome:
        """Count a failure; the store fails the session when it was the last try."""
        outcome = await self._call("retry", self._store.retry(attempt, failure, delay_s, cost))
        running = self._slots.running(attempt)
        return self._settled("failed" if running and running.is_last_try else "retried", outcome, failure.code)

    async def release(self, attempt: Attempt, cost: Cost | None = None) -> Outcome:
        """Give the session back."""
        return self._settled("released", await self._call("release", self._store.release(attempt, cost)))

    async def requested_cancels(self) -> Sequence[UUID]:
        """Ask what to cancel; not while the circuit is open."""
        self._require_closed()
        return await self._call("requested_cancels", self._store.requested_cancels())

    async def sweep(self) -> Swept:
        """Rescue and promote; not while the circuit is open."""
        self._require_closed()
        swept = await self._call("sweep", self._store.sweep())
        self._gauge.metrics.swept(rescued=swept.rescued, failed=swept.failed, promoted=swept.promoted)
        return swept

    async def acquire_permits(self, kind: str, count: int) -> Permitted:
        """Ask for requests to the kind's providers."""
        return await self._call("acquire_permits", self._store.acquire_permits(kind, count))

    async def _call(self, name: str, call: Awaitable[T]) -> T:
        with self._gauge.around(name):
            return await call

    def _require_closed(self) -> None:
        if (reason := self._gauge.breaker.refusal()) is not None:
            raise StoreUnavailable(f"not called: {reason}")

    def _settled(self, verdict: str, outcome: Outcome, code: str | None = None) -> Outcome:
        running = self._slots.running(Attempt(outcome.session, outcome.attempt))
        refused = outcome.outcome == "refused"
        self._gauge.metrics.attempt_settled(
            running.kind if running else "unknown",
            "lease_lost" if refused else verdict,
            self._gauge.clock.monotonic() - running.started_at if running else None,
            None if refused else code,
        )
        return outcome


class GuardedArtifacts:
    """The artifact store. Uploads go out whatever the circuit says: they carry work that is done."""

    def __init__(self, artifacts: ArtifactStore, gauge: Gauge) -> None:
        self._artifacts = artifacts
        self._gauge = gauge

    async def put(self, bucket: str, path: str, data: bytes, content_type: str) -> None:
        """Write one object."""
        with self._gauge.around("put"):
            await self._artifacts.put(bucket, path, data, content_type)

    async def sign(self, bucket: str, path: str, valid_s: int) -> str:
        """Make a URL that reads the object."""
        with self._gauge.around("sign"):
            return await self._artifacts.sign(bucket, path, valid_s)

    async def get(self, bucket: str, path: str, accepted: Accepted) -> Fetched:
        """Read one object."""
        with self._gauge.around("get"):
            return await self._artifacts.get(bucket, path, accepted)


class GuardedModerator:
    """The moderator. One that lets everything pass while it is down raises nothing, so its circuit stays closed."""

    def __init__(self, moderator: Moderator, gauge: Gauge) -> None:
        self._moderator = moderator
        self._gauge = gauge

    async def judge(self, texts: Mapping[str, str]) -> None:
        """Judge the texts of one request."""
        with self._gauge.around("judge"):
            await self._moderator.judge(texts)

    async def close(self) -> None:
        """Let go of connections."""
        await self._moderator.close()
