"""The end of a whole worker by signals: what runs may finish under its lease, a second signal gives it back."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from supabase import AsyncClient

from devstack.stack import Stack
from tests.support.app import insert, row, signed_in, until_row
from tests.support.commands import listener
from tests.support.generators import Grey, install
from tests.support.probing import until, until_said
from tests.support.worker import running_worker

BRISK = {"LISTENER_SOURCES": "sweep", "LISTENER_SWEEP_S": "0.3", "LISTENER_LEASE_S": "2"}


@pytest.fixture
def grey(tmp_path: Path) -> Grey:
    return install(tmp_path / "site")


@pytest.fixture
async def client(stack: Stack) -> AsyncClient:
    return await signed_in(stack)


async def until_beats(connection: asyncpg.Connection[Any], more: int) -> None:
    """Wait for so many heartbeats."""
    first = await connection.fetchval("select max(beats) from listener.workers")
    async with asyncio.timeout(30):
        while await connection.fetchval("select max(beats) from listener.workers") < first + more:
            await asyncio.sleep(0.05)


async def test_what_runs_may_finish_longer_than_a_lease_and_nothing_new_begins(
    stack: Stack, client: AsyncClient, connection: asyncpg.Connection[Any], grey: Grey
) -> None:
    async with running_worker(stack, **BRISK, **grey.settings) as worker:
        grey.on("hold")
        running = await insert(client)
        await until_row(client, running, lambda seen: seen["status"] == "processing")
        await until_said(connection, "claiming")
        worker.send(signal.SIGTERM)
        body = await until(worker, "/readyz", lambda status, _body: status == 503)
        assert body["reasons"]["worker"] == "draining"
        late = await insert(client)
        await until_beats(connection, 5)  # more than three seconds of a lease of two
        assert (await row(client, running))["status"] == "processing"
        heads, shown = (await listener("status", place=stack)).said.split("\n\n")[1].splitlines()
        assert (heads.split()[1], shown.split()[1]) == ("state", "draining")
        grey.off("hold")
        async with asyncio.timeout(30):
            assert await worker.process.wait() == 0
    assert (await row(client, running))["status"] == "completed"
    assert (await row(client, late))["status"] == "queued"
    assert await connection.fetchval("select max(attempt) from listener.sessions") == 1


async def test_a_second_signal_gives_everything_back_at_once_and_uncounted(
    stack: Stack, client: AsyncClient, connection: asyncpg.Connection[Any], grey: Grey
) -> None:
    async with running_worker(stack, **BRISK, **grey.settings) as worker:
        grey.on("hold")
        rows = [await insert(client) for _ in range(3)]
        for row_id in rows:
            await until_row(client, row_id, lambda seen: seen["status"] == "processing")
        worker.send(signal.SIGTERM)
        await worker.until_logged("drain_started")
        worker.send(signal.SIGINT)
        async with asyncio.timeout(15):
            assert await worker.process.wait() == 0
        assert worker.logged("drain_releases")[0]["attempts"] == len(rows)
    found = await connection.fetch("select status, failures, worker from listener.sessions")
    assert {(one["status"], one["failures"]) for one in found} == {("queued", 0)}
    assert await connection.fetch("select * from listener.invariants") == []
