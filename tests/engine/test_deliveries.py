"""Partners hear of finished sessions: signed, at least once, and whatever came of it is said to the database."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from standardwebhooks import Webhook
from tenacity import wait_none

from listener.engine import deliveries as module
from listener.engine.backoff import Backoff
from listener.engine.clock import SystemClock
from listener.engine.deliveries import AT_ONCE, TIMEOUT_S, Deliverer
from listener.errors import StoreError, StoreRejected, StoreUnavailable
from listener.outgoing import Delivered, Delivery
from listener.ports import Posted
from listener.telemetry import log
from tests.engine.conftest import Lines

SECRETS = tuple(f"whsec_{base64.b64encode(letter * 24).decode()}" for letter in (b"a", b"b"))
URL = "https://partner.example.com/hooks"
WELL = Posted(200)


class Partner:
    """Both sides: what waits and what came of it, and a server that answers what it is told."""

    def __init__(self) -> None:
        self.waiting: list[Delivery] = []
        self.ends: list[Delivered] = []
        self.counted: list[str] = []
        self.limits: list[int] = []
        self.sent: list[tuple[str, bytes, dict[str, str], float]] = []
        self.answers: list[Posted | Exception] = []
        self.claim_faults: list[StoreError] = []
        self.settle_faults: list[StoreError] = []
        self.gate: asyncio.Event | None = None
        self.changed = asyncio.Event()

    async def claim(self, limit: int) -> list[Delivery]:
        self.limits.append(limit)
        self.changed.set()
        if self.claim_faults:
            raise self.claim_faults.pop(0)
        taken, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return taken

    async def settle(self, ends: Sequence[Delivered]) -> None:
        if self.settle_faults:
            raise self.settle_faults.pop(0)
        self.ends += ends

    async def post(self, url: str, body: bytes, headers: Any, timeout_s: float) -> Posted:
        self.sent.append((url, body, dict(headers), timeout_s))
        self.changed.set()
        if self.gate is not None:
            await self.gate.wait()
        answer = self.answers.pop(0) if self.answers else WELL
        if isinstance(answer, Exception):
            raise answer
        return answer

    def count(self, outcome: str) -> None:
        self.counted.append(outcome)
        self.changed.set()

    async def until(self, seen: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not seen():
                self.changed.clear()
                await self.changed.wait()


def a_delivery(**fields: Any) -> Delivery:
    values: dict[str, Any] = {
        "id": uuid4(),
        "url": URL,
        "secrets": SECRETS[:1],
        "payload": {"type": "session.completed"},
    }
    return Delivery(**(values | fields))


@asynccontextmanager
async def delivering(partner: Partner, interval_s: float = 60) -> AsyncIterator[Deliverer]:
    """A deliverer that runs, and is asked to stop in the end."""
    deliverer = Deliverer(
        partner, partner, SystemClock(), interval_s=interval_s, count=partner.count, log=log.get("deliveries")
    )
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(deliverer.run())
        try:
            yield deliverer
        finally:
            deliverer.stop()


@pytest.fixture
def partner() -> Partner:
    return Partner()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "wait_random_exponential", lambda **_: wait_none())


async def test_what_waits_is_sent_signed_by_every_valid_secret_under_its_own_id(partner: Partner) -> None:
    delivery = a_delivery(secrets=SECRETS)
    partner.waiting = [delivery]
    async with delivering(partner):
        await partner.until(lambda: bool(partner.counted))
    ((url, body, headers, timeout_s),) = partner.sent
    assert (url, timeout_s, headers["webhook-id"]) == (URL, TIMEOUT_S, str(delivery.id))
    for secret in SECRETS:
        assert Webhook(secret).verify(body, headers) == {"type": "session.completed"}
    assert partner.ends == [Delivered(delivery.id, 1, "delivered", 200)]
    assert partner.counted == ["delivered"]


async def test_nothing_is_sent_that_opens_or_locates_an_object_at_any_depth(partner: Partner) -> None:
    kept = {"kind": "avatar", "artifacts": [{"name": "video.mp4", "width": 1280}], "note": None}
    opens = {"url": "https://x/signed", "expires_at": "soon", "thumbnail_path": "a/b", "bucket": "videos"}
    payload = {**kept, **opens, "artifacts": [{"name": "video.mp4", "width": 1280, **opens}], "image_urls": ["x"]}
    partner.waiting = [a_delivery(payload=payload)]
    async with delivering(partner):
        await partner.until(lambda: bool(partner.sent))
    assert json.loads(partner.sent[0][1]) == kept


@pytest.mark.parametrize(
    ("answer", "outcome", "error"),
    [
        (Posted(204), "delivered", ""),
        (Posted(410), "gone", "answered 410"),
        (Posted(500), "retry", "answered 500"),
        (Posted(429, retry_after_s=7.0), "retry", "answered 429"),
        (Posted(301), "retry", "answered 301"),
        (Posted(None, "no answer in 10 s"), "retry", "no answer in 10 s"),
        (Posted(None, "a private address", is_final=True), "refused", "a private address"),
        (ValueError("SECRET"), "retry", "not made: ValueError"),
    ],
)
async def test_what_an_answer_means(partner: Partner, answer: Any, outcome: str, error: str, logged: Lines) -> None:
    partner.waiting, partner.answers = [a_delivery(attempt=3)], [answer]
    async with delivering(partner):
        await partner.until(lambda: bool(partner.counted))
    (end,) = partner.ends
    assert (end.outcome, end.error, end.attempt) == (outcome, error, 3)
    assert (end.status, end.retry_after_s) == (
        getattr(answer, "status", None),
        getattr(answer, "retry_after_s", None),
    )
    (line,) = logged("delivery_ended")
    assert line["level"] == ("info" if outcome == "delivered" else "warning")
    assert len(logged("delivery_not_made")) == isinstance(answer, ValueError)


async def test_a_settlement_whose_answer_is_lost_is_said_again_and_the_partner_hears_it_once(partner: Partner) -> None:
    partner.waiting, partner.settle_faults = [a_delivery()], [StoreUnavailable("503"), StoreUnavailable("503")]
    async with delivering(partner):
        await partner.until(lambda: bool(partner.counted))
    assert (len(partner.sent), len(partner.ends)) == (1, 1)


async def test_what_the_database_will_not_hear_ends_no_worker(partner: Partner, logged: Lines) -> None:
    partner.waiting, partner.settle_faults = [a_delivery(), a_delivery()], [StoreRejected("42501")]
    async with delivering(partner):
        await partner.until(lambda: len(partner.counted) == 2)
    assert len(partner.ends) == 1
    assert len(logged("delivery_not_settled")) == 1


async def test_no_more_than_a_bound_is_under_way_at_once_and_the_rest_follows(partner: Partner) -> None:
    partner.gate = asyncio.Event()
    partner.waiting = [a_delivery() for _ in range(AT_ONCE + 3)]
    async with delivering(partner):
        await partner.until(lambda: len(partner.sent) == AT_ONCE)
        assert len(partner.waiting) == 3
        partner.gate.set()
        await partner.until(lambda: len(partner.counted) == AT_ONCE + 3)
    assert max(partner.limits) == AT_ONCE
    assert partner.waiting == []


async def test_a_wake_up_is_answered_at_once_and_the_interval_finds_what_nobody_told(partner: Partner) -> None:
    async with delivering(partner, interval_s=3600) as deliverer:
        await partner.until(lambda: bool(partner.limits))
        partner.waiting = [a_delivery()]
        deliverer.wake()
        await partner.until(lambda: partner.counted == ["delivered"])
    async with delivering(partner, interval_s=0.001):
        partner.waiting = [a_delivery()]
        await partner.until(lambda: len(partner.counted) == 2)


async def test_a_database_that_is_away_is_a_line_and_is_asked_again(
    partner: Partner, logged: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Backoff, "next_s", lambda _self: 0.001)
    partner.waiting, partner.claim_faults = [a_delivery()], [StoreUnavailable("503"), StoreRejected("42883")]
    async with delivering(partner):
        await partner.until(lambda: bool(partner.counted))
    assert len(logged("deliveries_not_claimed")) == 2
    assert partner.counted == ["delivered"]


async def test_one_that_stops_sends_what_is_under_way_to_its_end_and_takes_no_more(partner: Partner) -> None:
    partner.gate, partner.waiting = asyncio.Event(), [a_delivery()]
    async with delivering(partner) as deliverer:
        await partner.until(lambda: bool(partner.sent))
        deliverer.stop()
        partner.waiting = [a_delivery()]
        partner.gate.set()
    assert (partner.counted, len(partner.waiting)) == (["delivered"], 1)


async def test_one_that_is_cancelled_gives_back_what_was_not_sent_to_its_end(partner: Partner) -> None:
    partner.gate, partner.waiting = asyncio.Event(), [a_delivery()]
    deliverer = Deliverer(
        partner, partner, SystemClock(), interval_s=60, count=partner.count, log=log.get("deliveries")
    )
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        running = group.create_task(deliverer.run())
        await partner.until(lambda: bool(partner.sent))
        running.cancel()
    assert partner.counted == ["released"]
