"""A whole worker while something it needs is away or short: it claims nothing, says why, and goes on by itself."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from supabase import AsyncClient

from devstack.stack import Stack
from tests.support.app import TABLE, insert, row, signed_in, until_row, until_terminal
from tests.support.gateway import open_gateway
from tests.support.generators import Grey, install
from tests.support.probing import read, sample, until, until_said
from tests.support.relay import open_relay
from tests.support.worker import running_worker

BRISK = {"LISTENER_SOURCES": "sweep", "LISTENER_SWEEP_S": "0.3", "LISTENER_LEASE_S": "6"}


@pytest.fixture
def grey(tmp_path: Path) -> Grey:
    return install(tmp_path / "site")


@pytest.fixture
async def client(stack: Stack) -> AsyncClient:
    return await signed_in(stack)


async def test_a_database_that_goes_away_opens_its_circuit_and_its_return_closes_it(
    stack: Stack, client: AsyncClient, grey: Grey
) -> None:
    async with (
        open_relay(stack.url) as relay,
        running_worker(stack, SUPABASE_URL=relay.url, **BRISK, **grey.settings) as worker,
    ):
        relay.refusing = True
        relay.cut()
        opened = await worker.until_logged("circuit_opened")
        assert opened["dependency"] == "database"
        body = await until(worker, "/readyz", lambda status, _body: status == 503)
        assert "database keeps failing" in body["reasons"]["database"] or "lease" in body["reasons"]["database"]
        assert await sample(worker, "listener_circuit_state", dependency="database", state="closed") == 0
        row_id = await insert(client)
        relay.refusing = False
        await worker.until_logged("circuit_closed")
        assert (await until_terminal(client, row_id))["status"] == "completed"
        await until(worker, "/readyz", lambda status, _body: status == 200)
        assert await sample(worker, "listener_circuit_openings_total", dependency="database") == 1


async def test_a_storage_that_refuses_opens_its_circuit_and_every_session_completes_when_it_is_back(
    stack: Stack, client: AsyncClient, connection: asyncpg.Connection[Any], grey: Grey
) -> None:
    async with (
        open_gateway(stack.url) as gateway,
        running_worker(stack, SUPABASE_URL=gateway.url, **BRISK, **grey.settings) as worker,
    ):
        gateway.failures = 8  # two sessions, four tries each
        rows = [await insert(client), await insert(client)]
        opened = await worker.until_logged("circuit_opened")
        assert (opened["dependency"], "503" in opened["error"]) == ("storage", True)
        ended = [await until_terminal(client, row_id) for row_id in rows]
        assert [one["status"] for one in ended] == ["completed", "completed"]
        assert gateway.failed == 8
        assert "circuit_closed" in [line["event"] for line in worker.lines]
        (line, *_) = worker.logged("storage_failed")
        assert (line["bucket"], line["status"], line["key_kind"]) == ("headshots", 503, "a service_role JWT")
        assert line["endpoint"] == f"{gateway.url}/storage/v1"
        assert "Traceback" in line["exception"]
    assert await connection.fetch("select * from listener.invariants") == []


async def test_a_generator_that_dies_with_every_session_is_tried_with_one_session_at_a_time(
    stack: Stack, client: AsyncClient, grey: Grey
) -> None:
    async with running_worker(stack, **BRISK, **grey.settings) as worker:
        grey.on("dying")
        # In one statement: a session that comes alone may end the child twice before the others are there.
        made = await client.table(TABLE).insert([{"prompt": "a calm portrait"}] * 3).execute()
        rows = [str(made_row["id"]) for made_row in made.data]
        opened = await worker.until_logged("circuit_opened")
        assert (opened["dependency"], opened["failures"]) == ("generator", 3)
        _, body = await read(worker, "/readyz")
        assert "generator keeps failing" in body["reasons"]["generator"]
        grey.off("dying")
        grey.on("hold")
        await worker.until_logged("circuit_half_open")
        started = len(worker.logged("attempt_started"))
        await worker.until(lambda: len(worker.logged("attempt_started")) > started)
        assert await sample(worker, "listener_slots", state="busy") == 1
        assert "on trial" in str(await _paused(worker))
        grey.off("hold")
        assert {(await until_terminal(client, row_id))["status"] for row_id in rows} == {"completed"}


async def _paused(worker: Any) -> str:
    await worker.until(lambda: [line for line in worker.logged("claims_paused") if "trial" in line["reason"]])
    return str(worker.logged("claims_paused")[-1]["reason"])


async def test_a_device_that_is_short_of_memory_gets_no_session_until_it_has_room(
    stack: Stack, client: AsyncClient, grey: Grey, connection: asyncpg.Connection[Any]
) -> None:
    grey.on("free_mib", "10")
    async with running_worker(stack, waits_until="claims_paused", **BRISK, **grey.settings) as worker:
        body = await until(worker, "/readyz", lambda _status, body: list(body.get("reasons", {})) == ["resources"])
        assert body["reasons"]["resources"].startswith("device memory is short: 10 MiB left")
        assert await sample(worker, "listener_pressure", resource="device_memory") == 1
        assert await sample(worker, "listener_claims_paused", cause="pressure") == 1
        row_id = await insert(client)
        await worker.until(lambda: [line for line in worker.logged("claims_paused") if line["cause"] == "pressure"])
        assert (await row(client, row_id))["status"] == "queued"
        await until_said(connection, "paused: pressure")
        grey.on("free_mib", "5000")
        assert (await until_terminal(client, row_id))["status"] == "completed"
        (paused,) = [line for line in worker.logged("claims_paused") if line["cause"] == "pressure"]
        assert "device memory is short" in paused["reason"]
        assert await sample(worker, "listener_pressure", resource="device_memory") == 0


async def test_a_disk_that_is_nearly_full_gets_no_session(stack: Stack, client: AsyncClient, grey: Grey) -> None:
    settings = {"LISTENER_MIN_DISK_MIB": "99999999999"}
    async with running_worker(stack, waits_until="claims_paused", **BRISK, **grey.settings, **settings) as worker:
        body = await until(worker, "/health", lambda _status, body: body["parts"]["resources"]["status"] == "failing")
        assert body["parts"]["resources"]["reason"].startswith("disk (cache) is short")
        assert (await row(client, await insert(client)))["status"] == "queued"


async def test_code_that_ignores_its_cancellation_cannot_keep_a_drained_worker_alive(
    stack: Stack, client: AsyncClient, grey: Grey, connection: asyncpg.Connection[Any]
) -> None:
    async with running_worker(stack, **BRISK, **grey.settings, LISTENER_DRAIN_S="0") as worker:
        grey.on("deaf")
        row_id = await insert(client)
        await until_row(client, row_id, lambda seen: seen["status"] == "processing")
        worker.send(signal.SIGTERM)
        async with asyncio.timeout(60):
            assert await worker.process.wait() == 1
        assert worker.logged("worker_stuck")[0]["attempts"] == 1
    assert (await row(client, row_id))["status"] == "queued", "the last heartbeats gave it back"
    assert await connection.fetchval("select failures from listener.sessions") == 0


async def test_a_worker_whose_claims_are_rejected_is_not_ready_and_says_why_until_they_are_answered(
    stack: Stack, client: AsyncClient, grey: Grey, connection: asyncpg.Connection[Any]
) -> None:
    async with running_worker(stack, **BRISK, **grey.settings) as worker:
        claim = "function public.claim_sessions(uuid, uuid, text[], integer)"
        await connection.execute(f"revoke execute on {claim} from service_role")
        row_id = await insert(client)
        body = await until(worker, "/readyz", lambda status, _body: status == 503)
        assert "42501" in body["reasons"]["database"]
        await until_said(connection, "rejected")
        await connection.execute(f"grant execute on {claim} to service_role")
        assert (await until_terminal(client, row_id))["status"] == "completed"
        assert (await read(worker, "/readyz"))[0] == 200


async def test_a_crash_ends_the_process_although_an_attempt_ignores_its_cancellation(
    stack: Stack, client: AsyncClient, grey: Grey, connection: asyncpg.Connection[Any]
) -> None:
    async with running_worker(stack, **BRISK, **grey.settings) as worker:
        grey.on("deaf")
        row_id = await insert(client)
        await until_row(client, row_id, lambda seen: seen["status"] == "processing")
        await connection.execute(
            "create or replace function listener.oldest_worker() returns integer language sql immutable "
            "set search_path = '' as 'select 99'"
        )
        async with asyncio.timeout(60):
            assert await worker.process.wait() == 1
        (line,) = worker.logged("worker_stuck")
        assert "SchemaTooNew" in line["exception"]
