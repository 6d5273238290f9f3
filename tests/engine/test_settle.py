"""A verdict is written exactly once, however often the answer is lost."""

from __future__ import annotations

from typing import Any

import pytest

from listener.engine.settle import Settler
from listener.engine.verdict import Cancel, Complete, Fail, Release, Retry, Verdict, WriteNothing
from listener.errors import StoreRejected, StoreUnavailable
from listener.ports import Attempt, Failure
from listener.telemetry import log
from tests.engine.engine_support import MemoryStore

FAILURE = Failure("time_limit", "too long", {"type": "TimeLimit"})
VERDICTS = [
    (Complete({"n": 1}), "completed", "complete"),
    (Fail(FAILURE), "failed", "fail"),
    (Retry(FAILURE, 3.0), "queued", "retry"),
    (Cancel(), "cancelled", "cancel"),
    (Release(), "queued", "release"),
]


def started(store: MemoryStore) -> Attempt:
    session = store.add()
    store.rows[session.id].status = "processing"
    return Attempt(session.id, session.attempt)


@pytest.mark.parametrize(("verdict", "status", "call"), VERDICTS, ids=lambda value: str(value)[:12])
async def test_each_verdict_is_one_call(verdict: Verdict, status: str, call: str) -> None:
    store = MemoryStore()
    attempt = started(store)
    settled = await Settler(store, 5).settle(attempt, verdict, log.get("test"))
    assert (store.rows[attempt.session].status, store.calls, settled.outcome) == (status, [call], "applied")


async def test_an_answer_lost_after_the_commit_is_asked_for_again_and_already_is_success() -> None:
    store = MemoryStore()
    attempt = started(store)
    store.lost["complete"] = 1
    settled = await Settler(store, 5).settle(attempt, Complete(), log.get("test"))
    assert (settled.outcome, store.calls) == ("already", ["complete", "complete"])
    assert store.rows[attempt.session].status == "completed"


async def test_a_moved_fence_writes_nothing_and_is_not_tried_again() -> None:
    store = MemoryStore()
    attempt = started(store)
    stale = Attempt(attempt.session, attempt.attempt - 1)
    settled = await Settler(store, 5).settle(stale, Complete(), log.get("test"))
    assert (settled.outcome, settled.code, store.calls) == ("refused", "SL001", ["complete"])
    assert store.rows[attempt.session].status == "processing"


async def test_a_lost_lease_is_not_even_asked() -> None:
    store = MemoryStore()
    await Settler(store, 5).settle(started(store), WriteNothing(), log.get("test"))
    assert store.calls == []


async def test_a_store_that_stays_away_leaves_the_verdict_unwritten(logged: Any) -> None:
    store = MemoryStore()
    attempt = started(store)
    store.faults["complete"] = [StoreUnavailable("503")] * 100
    settled = await Settler(store, 0.3).settle(attempt, Complete(), log.get("test"))
    assert settled.outcome == "unwritten"
    assert logged("settlement_given_up")


async def test_a_verdict_that_the_store_rejects_becomes_a_failure_so_that_it_is_refunded(logged: Any) -> None:
    store = MemoryStore()
    attempt = started(store)
    store.faults["complete"] = [StoreRejected("22P05 unsupported unicode")]
    store.rows[attempt.session].settled_as = ""
    original = store.complete

    async def rejects(*arguments: Any) -> Any:
        store.calls.append("complete")
        raise StoreRejected("22P05")

    store.complete = rejects  # type: ignore[method-assign]
    settled = await Settler(store, 5).settle(attempt, Complete({"text": "\u0000"}), log.get("test"))
    assert original is not None
    assert (store.rows[attempt.session].status, settled.outcome) == ("failed", "applied")
    assert logged("settlement_rejected")[0]["verdict"] == "Complete"


async def test_a_store_that_rejects_even_the_failure_is_not_asked_for_ever() -> None:
    store = MemoryStore()
    attempt = started(store)
    store.faults = {"complete": [StoreRejected("42501")] * 9, "fail": [StoreRejected("42501")] * 9}
    settled = await Settler(store, 5).settle(attempt, Complete(), log.get("test"))
    assert (settled.outcome, store.calls) == ("unwritten", ["complete", "fail"])
