"""A request to a provider waits for its permit, within the time that its session has left."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from listener.contract import GenerationRequest
from listener.engine import permits
from listener.engine.permits import Permits
from listener.errors import LeaseLost, ProviderBusy, StorageDown, StoreUnavailable
from listener.ports import Permitted
from listener.telemetry import log
from tests.engine.engine_support import HandClock, MemoryStore

FULL = Permitted(known=True, granted=0, retry_after_s=0.01)
GRANTED = Permitted(known=True, granted=1)


class Counting(MemoryStore):
    """Answers what it is told."""

    def __init__(self, *answers: Permitted | Exception) -> None:
        super().__init__()
        self.answers = list(answers)
        self.kinds: list[str] = []

    async def acquire_permits(self, kind: str, count: int) -> Permitted:
        assert count == 1
        self.kinds.append(kind)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def wait(store: Counting, **fields: Any) -> None:
    request = GenerationRequest("a-pipeline", uuid4(), "p", (1,), session_kind="tryon", **fields)
    await Permits(store, HandClock(), log.get("permits"))(request)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permits, "SCATTER_S", 0.0)


async def test_it_waits_until_one_is_granted_and_asks_for_the_session_s_kind() -> None:
    store = Counting(FULL, FULL, GRANTED)
    async with asyncio.timeout(5):
        await wait(store, time_left_s=30)
    assert store.kinds == ["tryon"] * 3


async def test_one_that_would_come_too_late_is_a_busy_provider_and_says_when() -> None:
    store = Counting(Permitted(known=True, granted=0, retry_after_s=40.0))
    with pytest.raises(ProviderBusy) as caught:
        await wait(store, time_left_s=30.0)
    assert caught.value.retry_after_s == 40.0
    assert caught.value.details == {"limit": "requests a minute", "kind": "tryon"}


async def test_a_worker_without_a_lease_sends_nothing() -> None:
    with pytest.raises(LeaseLost):
        await wait(Counting(Permitted(known=False, granted=0)))


async def test_a_lost_answer_is_asked_for_again_and_a_database_that_stays_away_is_no_provider_s_outage() -> None:
    await wait(Counting(StoreUnavailable("x"), GRANTED))
    with pytest.raises(StorageDown):
        await wait(Counting(*[StoreUnavailable("x")] * 3))


async def test_a_request_without_a_limit_waits_as_long_as_it_takes() -> None:
    store = Counting(FULL, FULL, GRANTED)
    async with asyncio.timeout(5):
        await wait(store, time_left_s=None)
    assert store.answers == []
