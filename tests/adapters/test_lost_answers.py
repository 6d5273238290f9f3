"""Answers that are lost after the commit, on the real SQL: nothing is done twice, nothing is stranded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from listener.adapters.supabase_clients import Clients
from listener.engine.settle import Settler
from listener.engine.verdict import Complete, Fail, Release, Retry, Verdict
from listener.errors import StoreUnavailable
from listener.ports import Failure
from listener.telemetry import log
from tests.adapters.conftest import Worker

Insert = Callable[..., Awaitable[UUID]]
FAILURE = Failure("generation_failed", "The generation failed on our side.", {"type": "GenerationFailed"})


class LosingAnswers(httpx.AsyncBaseTransport):
    """Lets the call through, then breaks the connection before its answer, for `lose[function]` times."""

    def __init__(self, real: httpx.AsyncBaseTransport) -> None:
        self._real = real
        self.lose: dict[str, int] = {}
        self.calls: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        function = request.url.path.rsplit("/", 1)[-1]
        self.calls.append(function)
        answer = await self._real.handle_async_request(request)
        if self.lose.get(function, 0) > 0:
            self.lose[function] -= 1
            await answer.aclose()
            raise httpx.ReadError("the connection broke")
        return answer

    async def aclose(self) -> None:
        await self._real.aclose()


@pytest.fixture
def losing(clients: Clients) -> LosingAnswers:
    http = clients.calls.options.httpx_client
    assert http is not None
    transport = LosingAnswers(http._transport)
    http._transport = transport
    return transport


async def test_a_claim_whose_answer_was_lost_brings_the_same_session_again(
    worker: Worker, insert: Insert, losing: LosingAnswers, connection: asyncpg.Connection
) -> None:
    await insert()
    await insert()
    losing.lose = {"claim_sessions": 1}
    claim = uuid4()
    with pytest.raises(StoreUnavailable, match="ReadError"):
        await worker.store.claim(claim, ["headshot"], 1)
    assert await connection.fetchval("select count(*) from listener.sessions where status = 'processing'") == 1
    (session,) = await worker.store.claim(claim, ["headshot"], 1)
    assert session.attempt == 1
    assert await connection.fetchval("select count(*) from listener.sessions where status = 'processing'") == 1


@pytest.mark.parametrize(
    ("verdict", "function", "status", "refunds"),
    [
        (Complete({"model": "tiny"}), "complete_sessions", "completed", 0),
        (Complete({"made": 0}, 1), "complete_sessions", "completed", 1),
        (Complete({"made": 0}, 9), "complete_sessions", "completed", 1),
        (Fail(FAILURE), "fail_sessions", "failed", 1),
        (Retry(FAILURE, 0.0), "retry_sessions", None, 0),
        (Release(), "release_sessions", "queued", 0),
    ],
    ids=["complete", "part", "too-much", "fail", "retry", "release"],
)
async def test_a_settlement_whose_answer_was_lost_counts_once(
    *,
    worker: Worker,
    insert: Insert,
    losing: LosingAnswers,
    connection: asyncpg.Connection,
    verdict: Verdict,
    function: str,
    status: str | None,
    refunds: int,
) -> None:
    await insert()
    _, attempt = await worker.claim_one()
    losing.lose = {function: 2}
    settled = await Settler(worker.store, 10).settle(attempt, verdict, log.get("test"))
    assert settled.outcome == "already"
    assert losing.calls.count(function) == 3
    session = await connection.fetchrow("select status, failures, attempt from listener.sessions")
    assert session is not None
    assert session["attempt"] == 1
    assert status is None or session["status"] == status
    assert session["failures"] == (1 if isinstance(verdict, Retry) else session["failures"])
    assert await connection.fetchval("select count(*) from listener.ledger where entry = 'refund'") == refunds
    assert await connection.fetch("select * from listener.invariants") == []


async def test_what_a_lost_claim_left_is_given_back_by_the_heartbeats_of_a_worker_that_forgot_it(
    worker: Worker, insert: Insert, losing: LosingAnswers, connection: asyncpg.Connection
) -> None:
    await insert()
    losing.lose = {"claim_sessions": 1}
    claim = uuid4()
    with pytest.raises(StoreUnavailable):
        await worker.store.claim(claim, ["headshot"], 1)
    for _ in range(2):
        await worker.store.heartbeat([], [claim])
    assert await connection.fetchval("select status from listener.sessions") == "processing"
    for _ in range(2):
        await worker.store.heartbeat([], [])
    assert await connection.fetchval("select status from listener.sessions") == "queued"
    assert await connection.fetchval("select failures from listener.sessions") == 0
