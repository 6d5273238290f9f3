"""Tells partners that their sessions finished: Standard Webhooks, at least once, under an id that stays the same.

Knows when to look, how to sign, and what an answer means; does not know how the database decides who is next.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from standardwebhooks import Webhook
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from listener.contract import Log
from listener.engine.backoff import Backoff
from listener.engine.wakeup import opened
from listener.errors import StoreError, StoreUnavailable
from listener.outgoing import Delivered, Delivery, DeliveryOutcome, Outbox
from listener.ports import Clock, Posted, Poster

AT_ONCE = 16
TIMEOUT_S = 10.0
SETTLE_TRIES = 3
GOOD = range(200, 300)
GONE = 410
OPENS = re.compile(r"(^|_)(urls?|path|bucket)$|^expires_at$")
"""Fields that are not sent: who may read a result asks for a fresh URL with its key."""


class Deliverer:
    """Sends what waits, several at a time; what it could not say to the database comes again after a while."""

    def __init__(
        self,
        outbox: Outbox,
        poster: Poster,
        clock: Clock,
        *,
        interval_s: float,
        count: Callable[[str], None],
        log: Log,
    ) -> None:
        self._outbox = outbox
        self._poster = poster
        self._clock = clock
        self._interval_s = interval_s
        self._count = count
        self._log = log
        self._look = asyncio.Event()
        self._stopped = False
        self._sending: set[UUID] = set()

    def wake(self) -> None:
        """Look now: a session was settled."""
        self._look.set()

    def stop(self) -> None:
        """Take no more; `run` ends when what is under way was sent."""
        self._stopped = True
        self._look.set()

    async def run(self) -> None:
        """Send until stopped; cancelled, give back what is under way."""
        backoff = Backoff(limit_s=30.0)
        async with asyncio.TaskGroup() as group:
            while not self._stopped:
                self._look.clear()
                try:
                    taken = await self._take(group)
                except StoreError as error:
                    self._log.warning("deliveries_not_claimed", error=str(error))
                    await opened(self._look, backoff.next_s())
                else:
                    backoff.reset()
                    if not taken:
                        await opened(self._look, self._interval_s)

    async def _take(self, group: asyncio.TaskGroup) -> bool:
        """Start what is due; true when there may be more."""
        free = AT_ONCE - len(self._sending)
        deliveries = await self._outbox.claim(free) if free > 0 else []
        for delivery in deliveries:
            self._sending.add(delivery.id)
            group.create_task(self._finish(delivery), name="delivery")
        return len(deliveries) == free > 0

    async def _finish(self, delivery: Delivery) -> None:
        try:
            end = await self._send(delivery)
        except asyncio.CancelledError:
            await self._settle(Delivered(delivery.id, delivery.attempt, "released"))
            raise
        except Exception as error:  # noqa: BLE001 - one delivery that cannot be made must not end the worker
            self._log.error("delivery_not_made", delivery=str(delivery.id), exc_info=error)
            end = Delivered(delivery.id, delivery.attempt, "retry", None, f"not made: {type(error).__name__}")
        finally:
            self._sending.discard(delivery.id)
            self._look.set()
        await self._settle(end)

    async def _send(self, delivery: Delivery) -> Delivered:
        body = json.dumps(unopened(delivery.payload), ensure_ascii=False, separators=(",", ":"))
        headers = self._headers(delivery, body)
        return _judged(delivery, await self._poster.post(delivery.url, body.encode(), headers, TIMEOUT_S))

    def _headers(self, delivery: Delivery, body: str) -> dict[str, str]:
        """Signed at the moment of sending, by every secret that is valid while one replaces the other."""
        at = self._clock.now()
        name = str(delivery.id)
        signatures = [Webhook(secret).sign(name, at, body) for secret in delivery.secrets]
        return {
            "Content-Type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(signatures),
        }

    async def _settle(self, end: Delivered) -> None:
        say = self._log.info if end.outcome in ("delivered", "released") else self._log.warning
        facts = {"delivery": str(end.id), "attempt": end.attempt, "outcome": end.outcome, "status": end.status}
        say("delivery_ended", **facts, reason=end.error)
        try:
            async for attempt in _tries():
                with attempt:
                    await self._outbox.settle([end])
        except StoreError as error:  # it is sent again, under the same id
            self._log.warning("delivery_not_settled", delivery=str(end.id), error=str(error))
        self._count(end.outcome)


def _tries() -> AsyncRetrying:
    return AsyncRetrying(
        stop=stop_after_attempt(SETTLE_TRIES),
        wait=wait_random_exponential(multiplier=0.2, max=2.0),
        retry=retry_if_exception_type(StoreUnavailable),
        reraise=True,
    )


def _judged(delivery: Delivery, answer: Posted) -> Delivered:
    outcome: DeliveryOutcome = "retry"
    if answer.status is None:
        outcome = "refused" if answer.is_final else "retry"
    elif answer.status in GOOD:
        outcome = "delivered"
    elif answer.status == GONE:
        outcome = "gone"
    problem = answer.problem or ("" if outcome == "delivered" else f"answered {answer.status}")
    return Delivered(delivery.id, delivery.attempt, outcome, answer.status, problem, answer.retry_after_s)


def unopened(value: Any) -> Any:
    """A payload, or a result, without what opens or locates an object, at every depth."""
    if isinstance(value, Mapping):
        return {name: unopened(one) for name, one in value.items() if not OPENS.search(name)}
    return [unopened(one) for one in value] if isinstance(value, list) else value
