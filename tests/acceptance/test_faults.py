"""What must hold when something dies: the row ends once, the credits are right, the next session runs."""

from __future__ import annotations

import asyncio
import signal

import asyncpg
import psutil
import pytest
from supabase import AsyncClient

from devstack.stack import Stack
from tests.support.app import insert, signed_in, until_row, until_terminal
from tests.support.worker import Worker, running_worker

LONG = {"num_inference_steps": 100, "width": 256, "height": 256}
SHORT_LEASE = {"LISTENER_LEASE_S": "2", "LISTENER_SWEEP_S": "0.5"}


@pytest.fixture
async def client(stack: Stack) -> AsyncClient:
    return await signed_in(stack)


async def expect_money(connection: asyncpg.Connection, *, balance: int, charges: int, refunds: int) -> None:
    """The ledger and the account say the same, and no invariant is broken."""
    entries = await connection.fetch("select entry, count(*) as n from listener.ledger group by entry")
    counted = {entry["entry"]: entry["n"] for entry in entries}
    assert (counted.get("charge", 0), counted.get("refund", 0)) == (charges, refunds)
    assert await connection.fetchval("select sum(balance) from listener.accounts") == balance
    assert await connection.fetch("select * from listener.invariants") == []


def runtime_of(worker: Worker) -> psutil.Process:
    """The GPU child of a worker."""
    (child,) = [p for p in psutil.Process(worker.pid).children() if any("handlers.runtime" in a for a in p.cmdline())]
    return child


async def test_a_worker_killed_mid_generation_ends_in_one_finished_session(
    stack: Stack, client: AsyncClient, connection: asyncpg.Connection
) -> None:
    async with running_worker(stack, **SHORT_LEASE) as first, running_worker(stack, **SHORT_LEASE) as second:
        row_id = await insert(client, **LONG)
        await until_row(client, row_id, lambda row: row["status"] == "processing" and row["progress"] > 0)
        holder = await connection.fetchval("select worker from listener.sessions where row_id = $1::uuid", row_id)
        dead, alive = (first, second) if first.logged("worker_ready")[0]["worker"] == str(holder) else (second, first)
        orphan = runtime_of(dead)
        dead.send(signal.SIGKILL)

        row = await until_terminal(client, row_id)

        assert row["status"] == "completed"
        assert len(row["result"]["artifacts"]) == 1
        assert row["result"]["image_path"].endswith(".2.png"), "the second attempt writes its own path"
        assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
        assert alive.process.returncode is None
    await expect_money(connection, balance=9, charges=1, refunds=0)
    events = await connection.fetch("select event, occurrence, properties ->> 'model' as model from listener.events")
    assert sorted(tuple(event) for event in events) == [
        ("generation_completed", "", None),
        ("generation_queued", "", None),
        ("generation_started", "1", "embedded"),
        ("generation_started", "2", "embedded"),
        ("image_stored", "2/image.png", None),
    ]


async def test_a_killed_gpu_child_does_not_take_the_daemon_down(
    stack: Stack, client: AsyncClient, connection: asyncpg.Connection
) -> None:
    async with running_worker(stack) as worker:
        row_id = await insert(client, **LONG)
        await until_row(client, row_id, lambda row: row["status"] == "processing" and row["progress"] > 0)
        runtime_of(worker).send_signal(signal.SIGKILL)

        row = await until_terminal(client, row_id)

        assert row["status"] == "completed"
        assert worker.process.returncode is None
        after = await until_terminal(client, await insert(client))
        assert after["status"] == "completed"
    await expect_money(connection, balance=8, charges=2, refunds=0)


async def test_two_workers_never_run_one_session_twice(stack: Stack, connection: asyncpg.Connection) -> None:
    clients = [await signed_in(stack) for _ in range(3)]
    async with running_worker(stack) as first, running_worker(stack) as second:
        ids = [await insert(client, f"portrait {n}") for n in range(8) for client in clients]
        rows = [await until_terminal(clients[place % 3], row_id) for place, row_id in enumerate(ids)]
        assert {row["status"] for row in rows} == {"completed"}
        started = [line["session"] for worker in (first, second) for line in worker.logged("attempt_started")]
    assert len(started) == len(set(started)) == len(ids)
    assert await connection.fetchval("select max(attempt) from listener.sessions") == 1
    await expect_money(connection, balance=6, charges=24, refunds=0)


async def test_a_muted_realtime_still_gets_every_session_done_by_the_sweep(
    stack: Stack, client: AsyncClient, connection: asyncpg.Connection
) -> None:
    async with running_worker(stack, LISTENER_LEASE_S="3", LISTENER_SWEEP_S="1"):
        stack.faults.realtime_muted = True
        ids = [await insert(client, f"portrait {n}") for n in range(4)]
        rows = await asyncio.gather(*(until_terminal(client, row_id) for row_id in ids))
        assert {row["status"] for row in rows} == {"completed"}
    await expect_money(connection, balance=6, charges=4, refunds=0)


async def test_a_terminated_worker_gives_its_session_back_uncounted(
    stack: Stack, client: AsyncClient, connection: asyncpg.Connection
) -> None:
    async with running_worker(stack, LISTENER_DRAIN_S="0.2") as worker:
        row_id = await insert(client, **LONG)
        await until_row(client, row_id, lambda row: row["status"] == "processing" and row["progress"] > 0)
        worker.send(signal.SIGTERM)
        assert await asyncio.wait_for(worker.process.wait(), 15) == 0
        given_back = await until_row(client, row_id, lambda row: row["status"] == "queued", within_s=5)
        assert given_back["error_code"] is None
    async with running_worker(stack):
        assert (await until_terminal(client, row_id))["status"] == "completed"
    session = await connection.fetchrow("select attempt, failures from listener.sessions")
    assert session is not None
    assert tuple(session) == (2, 0)
    await expect_money(connection, balance=9, charges=1, refunds=0)


async def test_a_cancelled_session_stops_between_two_steps_and_is_refunded(
    stack: Stack, client: AsyncClient, connection: asyncpg.Connection
) -> None:
    async with running_worker(stack, LISTENER_LEASE_S="3"):
        row_id = await insert(client, **LONG)
        await until_row(client, row_id, lambda row: row["status"] == "processing" and row["progress"] > 0)
        await client.rpc("cancel_session", {"p_row_id": row_id}).execute()
        row = await until_terminal(client, row_id, within_s=10)
        assert row["status"] == "cancelled"
        assert (await until_terminal(client, await insert(client)))["status"] == "completed"
    await expect_money(connection, balance=9, charges=2, refunds=1)


async def test_a_worker_leaves_no_process_behind(stack: Stack) -> None:
    async with running_worker(stack) as worker:
        child = runtime_of(worker)
    assert worker.process.returncode == 0
    psutil.wait_procs([child], timeout=5)
    assert not child.is_running()
