"""A whole worker whose images are made elsewhere: the order, the outage, the refusal, the cancelled job."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from supabase import AsyncClient

from devstack.stack import Stack
from tests.providers.wires import KEY, OpenAIWire, ReplicateWire, failing, serving
from tests.support.app import insert, signed_in, until_terminal
from tests.support.probing import read, sample, until
from tests.support.worker import Worker, running_worker

BRISK = {"LISTENER_SOURCES": "sweep", "LISTENER_SWEEP_S": "0.3", "LISTENER_LEASE_S": "10"}


@pytest.fixture
async def client(stack: Stack) -> AsyncClient:
    return await signed_in(stack)


def reached(openai: OpenAIWire, replicate: ReplicateWire) -> dict[str, str]:
    """The settings of a worker that asks these two, in this order."""
    return {
        "LISTENER_HEADSHOT_GENERATORS": "openai,replicate",
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": f"{openai.url}/v1",
        "OPENAI_MAX_RETRIES": "0",
        "LISTENER_OPENAI_OPTIONS": '{"usd_per_image": 0.5}',
        "REPLICATE_API_TOKEN": KEY,
        "LISTENER_REPLICATE_MODEL": "owner/name",
        "LISTENER_REPLICATE_BASE_URL": replicate.url,
        "LISTENER_REPLICATE_OPTIONS": '{"poll_s": 0.05}',
        **BRISK,
    }


async def test_a_provider_s_outage_degrades_and_the_next_one_makes_what_it_could_not(
    stack: Stack, client: AsyncClient, connection: asyncpg.Connection[Any]
) -> None:
    async with serving(OpenAIWire()) as openai, serving(ReplicateWire()) as replicate:
        assert isinstance(openai, OpenAIWire)
        assert isinstance(replicate, ReplicateWire)
        async with running_worker(stack, **reached(openai, replicate)) as worker:
            made = await until_terminal(client, await insert(client))
            assert (made["result"]["device"], made["result"]["model"]) == ("openai", "gpt-image-1.5")
            assert await sample(worker, "listener_generation_cost_usd_total", generator="openai") == 0.5
            assert (await read(worker, "/health"))[1]["status"] == "ok"

            openai.always = failing(503)
            for _ in range(3):
                made = await until_terminal(client, await insert(client))
                assert (made["status"], made["result"]["device"]) == ("completed", "replicate")
            assert "made by replicate (openai: provider_down)" in made["result"]["notes"]
            await _require_degraded(worker, asked=len(openai.began))

            replicate.looks, replicate.failure = 0, "NSFW content detected"
            refused = await until_terminal(client, await insert(client))
            assert (refused["status"], refused["error_code"]) == ("failed", "content_rejected")
            assert KEY not in str(refused)

            replicate.looks, replicate.failure = 10**6, None
            row_id = await insert(client)
            begun = len(replicate.jobs)
            async with asyncio.timeout(20):
                while len(replicate.jobs) == begun:
                    await asyncio.sleep(0.02)
                await client.rpc("cancel_session", {"p_row_id": row_id}).execute()
                await replicate.left.wait()
            assert (await until_terminal(client, row_id))["status"] == "cancelled"
            assert replicate.cancelled == [f"job-{len(replicate.jobs)}"]
    assert KEY not in str(worker.lines)
    assert await connection.fetchval("select count(*) from listener.permits") == len(openai.began) + len(
        replicate.began
    )
    assert await connection.fetch("select * from listener.invariants") == []


async def _require_degraded(worker: Worker, asked: int) -> None:
    """Open, told by every door, and no reason not to work."""
    body = await until(worker, "/health", lambda _status, body: body["status"] == "degraded")
    openai = body["parts"]["openai"]
    assert (openai["status"], openai["details"]["circuit"]) == ("failing", "open")
    assert body["parts"]["replicate"]["status"] == "ok"
    assert body["parts"]["generator"]["details"]["routes"]["headshot"] == ["openai", "replicate"]
    assert (await read(worker, "/readyz"))[0] == 200
    assert await sample(worker, "listener_circuit_state", dependency="openai", state="open") == 1
    assert (asked, worker.logged("circuit_opened")[0]["dependency"]) == (4, "openai")


async def test_a_refused_key_fails_a_session_kindly_and_holds_the_others_and_a_busy_provider_costs_no_refund(
    stack: Stack, client: AsyncClient, connection: asyncpg.Connection[Any]
) -> None:
    async with serving(OpenAIWire()) as openai, serving(ReplicateWire()) as replicate:
        assert isinstance(openai, OpenAIWire)
        assert isinstance(replicate, ReplicateWire)
        settings = {**reached(openai, replicate), "LISTENER_HEADSHOT_GENERATORS": "openai"}
        openai.scripted = [failing(401, "invalid_api_key", "Incorrect API key provided")]
        async with running_worker(stack, **settings) as worker:
            failed = await until_terminal(client, await insert(client))
            assert (failed["status"], failed["error_code"]) == ("failed", "provider_misconfigured")
            assert failed["error_message"] == "The image service is not available at the moment. We have been told."
            assert failed["error_details"]["provider_code"] == "invalid_api_key"
            assert worker.logged("generator_failed")[0]["level"] == "error"
            body = await until(worker, "/readyz", lambda status, _body: status == 503)
            assert "openai keeps failing" in body["reasons"]["generator"]
            waiting = await insert(client)  # the pause is five seconds at most; then one session is the trial
            assert (await until_terminal(client, waiting))["status"] == "completed"
            assert (await read(worker, "/health"))[1]["parts"]["openai"]["status"] == "ok"

            openai.scripted = [failing(429, "rate_limit_exceeded")]
            began, row_id = asyncio.get_running_loop().time(), await insert(client)
            await worker.until(lambda: [one for one in worker.logged("attempt_settled") if one["verdict"] == "Retry"])
            assert await connection.fetchval("select count(*) from listener.ledger where entry = 'refund'") == 1
            assert (await until_terminal(client, row_id))["status"] == "completed"
            assert asyncio.get_running_loop().time() - began >= 10
            assert await connection.fetchval("select count(*) from listener.ledger where entry = 'refund'") == 1
    assert KEY not in str(worker.lines)
    assert await connection.fetch("select * from listener.invariants") == []
