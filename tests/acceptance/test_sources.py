"""Each source alone gets every session done, with the two others switched off: real workers on the whole stack."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from typing import Any

import aiohttp
import asyncpg
import pytest
from supabase import AsyncClient

from devstack.stack import Stack
from tests.support.app import insert, row, signed_in, until_terminal
from tests.support.relay import open_relay
from tests.support.worker import Worker, running_worker

ROUNDS = 3
LOOKED_S = 0.5
"""A worker looks once more when a slot becomes free; what is inserted after that needs a wake-up."""
SMALL = {"num_inference_steps": 1, "width": 64, "height": 64}
SHARED = "the dashboard's own secret"


@pytest.fixture
async def client(stack: Stack) -> AsyncClient:
    return await signed_in(stack)


async def all_get_done(client: AsyncClient) -> None:
    """One after the other, each by a wake-up of its own."""
    for _ in range(ROUNDS):
        await asyncio.sleep(LOOKED_S)
        done = await until_terminal(client, await insert(client, **SMALL), within_s=30)
        assert done["status"] == "completed"


def address(worker: Worker) -> str:
    return f"http://127.0.0.1:{worker.logged('worker_started')[0]['port']}"


async def webhook_part(worker: Worker) -> Any:
    async with aiohttp.ClientSession() as http, http.get(f"{address(worker)}/health") as answer:
        return (await answer.json())["parts"].get("webhook")


async def test_realtime_alone(stack: Stack, client: AsyncClient) -> None:
    async with running_worker(stack, LISTENER_SOURCES="realtime") as worker:
        await worker.until_logged("realtime_joined")
        await all_get_done(client)
        assert await webhook_part(worker) is None
        async with aiohttp.ClientSession() as http, http.post(f"{address(worker)}/hooks/supabase", json={}) as answer:
            assert answer.status == 404, "no secret, no endpoint"


@pytest.mark.slow
async def test_realtime_alone_after_an_outage_that_the_client_library_would_not_survive(
    stack: Stack, client: AsyncClient
) -> None:
    """What was inserted meanwhile is found by the look that follows each join."""
    async with (
        open_relay(stack.url) as relay,
        running_worker(stack, LISTENER_SOURCES="realtime", SUPABASE_URL=relay.url) as worker,
    ):
        await worker.until_logged("realtime_joined")
        relay.refusing = True
        relay.cut()
        await worker.until(lambda: len(worker.logged("realtime_lost")) >= 6, within_s=60)
        missed = await insert(client, **SMALL)
        relay.refusing = False
        assert (await until_terminal(client, missed))["status"] == "completed"
        await worker.until(lambda: len(worker.logged("realtime_joined")) >= 2)
        await all_get_done(client)


async def test_our_signed_webhook_alone(stack: Stack, client: AsyncClient, connection: asyncpg.Connection) -> None:
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    old = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    settings = {"LISTENER_SOURCES": "webhook", "LISTENER_WEBHOOK_SECRETS": f"{old},{secret}"}
    async with running_worker(stack, **settings) as worker:
        url = f"{address(worker)}/hooks/supabase"
        await connection.execute("select listener.set_webhook($1, secret => $2)", url, secret)
        await all_get_done(client)
        part = await webhook_part(worker)
        assert (part["status"], part["details"]) == ("ok", {"accepted": ROUNDS})
    assert worker.logged("realtime_joined") == []


async def test_the_dashboards_webhook_alone(stack: Stack, client: AsyncClient, connection: asyncpg.Connection) -> None:
    settings = {"LISTENER_SOURCES": "webhook", "LISTENER_WEBHOOK_HEADER_SECRET": SHARED}
    async with running_worker(stack, **settings) as worker:
        headers = json.dumps({"Content-Type": "application/json", "x-webhook-secret": SHARED})
        arguments = ", ".join(
            f"'{argument.replace(chr(39), chr(39) * 2)}'"
            for argument in (f"{address(worker)}/hooks/supabase", "POST", headers, "{}", "5000")
        )
        await connection.execute(
            "create trigger wake after insert on public.headshot_sessions for each row"
            f" execute function supabase_functions.http_request({arguments})"
        )
        await all_get_done(client)
        assert (await webhook_part(worker))["details"] == {"accepted": ROUNDS}


async def test_the_sweep_alone(stack: Stack, client: AsyncClient) -> None:
    async with running_worker(stack, LISTENER_SOURCES="sweep") as worker:
        await all_get_done(client)
    assert worker.logged("realtime_joined") == []


async def test_a_worker_that_nothing_wakes_gets_nothing_done(stack: Stack, client: AsyncClient) -> None:
    """The twin of the others: they would prove nothing if something else woke the worker."""
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    async with running_worker(stack, LISTENER_SOURCES="webhook", LISTENER_WEBHOOK_SECRETS=secret):
        for _ in range(5):  # a look that was under way may still find the first
            await asyncio.sleep(LOOKED_S)
            row_id = await insert(client, **SMALL)
            try:
                await until_terminal(client, row_id, within_s=3)
            except TimeoutError:
                assert (await row(client, row_id))["status"] == "queued"
                return
    pytest.fail("every session was done without a wake-up")
