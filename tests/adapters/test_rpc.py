"""The store over the real SQL, through the embedded PostgREST: each call means what the port says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from listener.adapters.rpc import RpcSessionStore
from listener.adapters.supabase_clients import Clients, open_clients
from listener.contract import SavedArtifact
from listener.errors import KeyRefused, StoreRejected, StoreUnavailable
from listener.ports import Attempt, Cost, Failure, Registration
from tests.adapters.conftest import Worker
from tests.support.target import Target

Insert = Callable[..., Awaitable[UUID]]
FAILURE = Failure("generation_failed", "The generation failed on our side.", {"type": "GenerationFailed"})


async def row_of(connection: asyncpg.Connection, row_id: UUID) -> Any:
    return await connection.fetchrow("select * from public.headshot_sessions where id = $1", row_id)


async def test_a_worker_registers_and_hears_which_tables_to_watch(clients: Clients) -> None:
    identity = uuid4()
    store = RpcSessionStore(clients.calls, identity)
    registered = await store.register(Registration(identity, "test", ("headshot",), 2, "0", 30.0))
    assert registered.lease_s == 30.0
    assert registered.schema_version >= 1
    assert [(table.schema, table.table, table.kind) for table in registered.tables] == [
        ("public", "headshot_sessions", "headshot")
    ]


async def test_a_heartbeat_of_an_unknown_worker_says_so(clients: Clients) -> None:
    pulse = await RpcSessionStore(clients.calls, uuid4()).heartbeat([], [])
    assert not pulse.known


async def test_a_claim_brings_the_session_and_the_same_claim_id_the_same_one(worker: Worker, insert: Insert) -> None:
    row_id = await insert("a portrait in oil")
    await insert("another")
    claim = uuid4()
    (session,) = await worker.store.claim(claim, ["headshot"], 1)
    assert (session.row_id, session.kind, session.attempt, session.failures) == (row_id, "headshot", 1, 0)
    assert session.params["prompt"] == "a portrait in oil"
    assert "status" not in session.params
    assert session.path_prefix == f"{session.owner}/{row_id}"
    assert session.bucket == "headshots"
    assert session.time_limit_s > 0
    assert await worker.store.claim(claim, ["headshot"], 1) == [session]


async def test_the_owner_sees_progress_the_artifact_and_the_result(
    worker: Worker, insert: Insert, connection: asyncpg.Connection
) -> None:
    row_id = await insert()
    session, attempt = await worker.claim_one()
    assert (await worker.store.report_progress(attempt, 1, 4, "generating")).outcome == "applied"
    row = await row_of(connection, row_id)
    assert (row["status"], row["progress"], row["message"]) == ("processing", 25, "generating")

    expires_at = datetime.now(UTC) + timedelta(hours=6)
    saved = SavedArtifact(
        "image.png",
        "headshots",
        f"{session.path_prefix}.png",
        "https://x/y?token=z",
        expires_at,
        3,
        "image/png",
        64,
        64,
    )
    assert (await worker.store.add_artifact(attempt, saved)).outcome == "applied"
    assert (await worker.store.add_artifact(attempt, saved)).outcome in {"applied", "already"}
    assert (await worker.store.complete(attempt, {"model": "tiny"})).outcome == "applied"
    assert (await worker.store.complete(attempt, {"model": "tiny"})).outcome == "already"
    row = await row_of(connection, row_id)
    assert (row["status"], row["progress"]) == ("completed", 100)
    assert '"path"' in row["result"]
    assert await connection.fetchval("select count(*) from listener.artifacts") == 1


async def test_a_failure_is_shown_and_refunded_once(
    worker: Worker, insert: Insert, connection: asyncpg.Connection
) -> None:
    row_id = await insert()
    _, attempt = await worker.claim_one()
    assert (await worker.store.fail(attempt, FAILURE)).outcome == "applied"
    assert (await worker.store.fail(attempt, FAILURE)).outcome == "already"
    row = await row_of(connection, row_id)
    assert (row["status"], row["error_code"]) == ("failed", "generation_failed")
    assert "GenerationFailed" in row["error_details"]
    assert await connection.fetchval("select count(*) from listener.ledger where entry = 'refund'") == 1


async def test_a_retry_waits_and_a_release_does_not_count(
    worker: Worker, insert: Insert, connection: asyncpg.Connection
) -> None:
    await insert()
    _, attempt = await worker.claim_one()
    assert (await worker.store.release(attempt)).outcome == "applied"
    session, attempt = await worker.claim_one()
    assert (session.attempt, session.failures) == (2, 0)
    assert session.path_prefix.endswith(".2")
    assert (await worker.store.retry(attempt, FAILURE, 3600.0)).outcome == "applied"
    assert await worker.store.claim(uuid4(), ["headshot"], 1) == []
    assert (await worker.store.heartbeat([attempt], [])).lost == (attempt,)
    assert await connection.fetchval("select failures from listener.sessions") == 1


async def test_a_stale_attempt_is_refused_without_a_word_to_the_row(worker: Worker, insert: Insert) -> None:
    await insert()
    session, attempt = await worker.claim_one()
    stale = Attempt(session.id, attempt.attempt - 1)
    for outcome in (
        await worker.store.report_progress(stale, 1, 2, ""),
        await worker.store.complete(stale, {}),
        await worker.store.fail(stale, FAILURE),
        await worker.store.retry(stale, FAILURE, 0.0),
        await worker.store.release(stale),
        await worker.store.cancel(stale),
    ):
        assert (outcome.outcome, outcome.code) == ("refused", "SL001")
    unknown = await worker.store.complete(Attempt(uuid4(), 1), {})
    assert (unknown.outcome, unknown.code) == ("refused", "SL002")


async def test_a_wish_to_cancel_comes_with_the_heartbeat_and_with_every_answer(
    worker: Worker, insert: Insert, connection: asyncpg.Connection
) -> None:
    row_id = await insert()
    session, attempt = await worker.claim_one()
    await connection.execute(
        "update listener.sessions set cancel_requested_at = listener.clock() where id = $1", session.id
    )
    assert (await worker.store.heartbeat([attempt], [])).cancel == (session.id,)
    assert (await worker.store.report_progress(attempt, 1, 2, "")).cancel_requested
    assert (await worker.store.cancel(attempt)).outcome == "applied"
    assert (await row_of(connection, row_id))["status"] == "cancelled"


async def test_the_sweep_rescues_what_a_dead_worker_held(
    worker: Worker, insert: Insert, connection: asyncpg.Connection
) -> None:
    await insert()
    await worker.claim_one()
    assert (await worker.store.sweep()).rescued == 0
    await connection.execute("update listener.workers set lease_expires_at = listener.clock() - interval '1 second'")
    assert (await worker.store.sweep()).rescued == 1


async def test_a_key_without_the_grants_is_rejected_and_a_key_of_nobody_is_waited_for(project: Target) -> None:
    async with open_clients(project.url, project.anon_key, 1) as anonymous:
        with pytest.raises(StoreRejected, match="42501"):
            await RpcSessionStore(anonymous.calls, uuid4()).sweep()
    async with open_clients(project.url, "not-a-key-at-all-0123456789", 1) as stranger:
        with pytest.raises(KeyRefused, match="SUPABASE_SERVICE_ROLE_KEY"):
            await RpcSessionStore(stranger.calls, uuid4()).sweep()


async def test_a_missing_function_is_rejected_by_name(clients: Clients) -> None:
    store = RpcSessionStore(clients.calls, uuid4())
    with pytest.raises(StoreRejected, match="no_such_function"):
        await store._fenced("no_such_function", Attempt(uuid4(), 1), {})


async def test_a_server_that_is_not_there_may_be_asked_again() -> None:
    async with open_clients("http://127.0.0.1:1", "key", 1) as nowhere:
        with pytest.raises(StoreUnavailable, match="ConnectError"):
            await RpcSessionStore(nowhere.calls, uuid4()).sweep()


async def test_what_attempts_came_to_is_kept_with_their_session(
    worker: Worker, insert: Insert, connection: asyncpg.Connection
) -> None:
    spent, known = "select device_s, cost_usd from listener.sessions", Cost(1.5, 0.25)
    for settle in (
        lambda attempt: worker.store.complete(attempt, {}, 0, known),
        lambda attempt: worker.store.fail(attempt, FAILURE, known),
        lambda attempt: worker.store.retry(attempt, FAILURE, 0.0, known),
        lambda attempt: worker.store.cancel(attempt, cost=known),
        lambda attempt: worker.store.release(attempt, known),
    ):
        row_id = await insert()
        session, attempt = await worker.claim_one()
        assert session.row_id == row_id
        assert [(await settle(attempt)).outcome for _ in range(2)] == ["applied", "already"]
        assert tuple(await connection.fetchrow(f"{spent} where id = $1", session.id)) == (1.5, 0.25)
        if (await connection.fetchval("select status from listener.sessions where id = $1", session.id)) == "queued":
            _, again = await worker.claim_one()
            assert (await worker.store.complete(again, {}, 0, Cost(device_s=1.0))).outcome == "applied"
            assert tuple(await connection.fetchrow(f"{spent} where id = $1", session.id)) == (2.5, 0.25)
