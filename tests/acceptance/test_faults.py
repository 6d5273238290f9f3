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
from tests.support.target import Target
from tests.support.worker import Worker, running_worker

LONG = {"num_inference_steps": 100, "width": 256, "height": 256}
SHORT_LEASE = {"LISTENER_LEASE_S": "2", "LISTENER_SWEEP_S": "0.5"}

Books = asyncpg.Connection


@pytest.fixture
async def client(project: Target) -> AsyncClient:
    return await signed_in(project)


async def expect_money(books: Books, client: AsyncClient, *, balance: int, charges: int, refunds: int) -> None:
    """The ledger and the user's account say the same, and no invariant is broken."""
    owner = await owner_of(client)
    entries = await books.fetch(
        "select entry, count(*) as n from listener.ledger where owner = $1 group by entry", owner
    )
    counted = {entry["entry"]: entry["n"] for entry in entries}
    assert (counted.get("charge", 0), counted.get("refund", 0)) == (charges, refunds)
    assert await books.fetchval("select balance from listener.accounts where owner = $1", owner) == balance
    assert await books.fetch("select * from listener.invariants") == []


async def owner_of(client: AsyncClient) -> str:
    session = await client.auth.get_session()
    assert session
    return session.user.id


def runtime_of(worker: Worker) -> psutil.Process:
    """The GPU child of a worker."""
    (child,) = [p for p in psutil.Process(worker.pid).children() if any("handlers.runtime" in a for a in p.cmdline())]
    return child


async def test_a_worker_killed_mid_generation_ends_in_one_finished_session(
    project: Target, client: AsyncClient, books: Books
) -> None:
    async with running_worker(project, **SHORT_LEASE) as first, running_worker(project, **SHORT_LEASE) as second:
        row_id = await insert(client, **LONG)
        await until_row(client, row_id, lambda row: row["status"] == "processing" and row["progress"] > 0)
        holder = await books.fetchval("select worker from listener.sessions where row_id = $1::uuid", row_id)
        dead, alive = (first, second) if first.logged("worker_ready")[0]["worker"] == str(holder) else (second, first)
        orphan = runtime_of(dead)
        dead.send(signal.SIGKILL)

        row = await until_terminal(client, row_id)

        assert row["status"] == "completed"
        assert len(row["result"]["artifacts"]) == 1
        assert row["result"]["image_path"].endswith(".2.png"), "the second attempt writes its own path"
        assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
        assert alive.process.returncode is None
    await expect_money(books, client, balance=9, charges=1, refunds=0)
    events = await books.fetch(
        "select event, occurrence, properties ->> 'model' as model from listener.events"
        " where session = (select id from listener.sessions where row_id = $1::uuid)",
        row_id,
    )
    assert sorted(tuple(event) for event in events) == [
        ("generation_completed", "", None),
        ("generation_queued", "", None),
        ("generation_started", "1", "embedded"),
        ("generation_started", "2", "embedded"),
        ("image_stored", "2/image.png", None),
    ]


@pytest.mark.slow
async def test_a_killed_gpu_child_does_not_take_the_daemon_down(
    project: Target, client: AsyncClient, books: Books
) -> None:
    async with running_worker(project) as worker:
        row_id = await insert(client, **LONG)
        await until_row(client, row_id, lambda row: row["status"] == "processing" and row["progress"] > 0)
        runtime_of(worker).send_signal(signal.SIGKILL)

        row = await until_terminal(client, row_id)

        assert row["status"] == "completed"
        assert worker.process.returncode is None
        after = await until_terminal(client, await insert(client))
        assert after["status"] == "completed"
    await expect_money(books, client, balance=8, charges=2, refunds=0)


@pytest.mark.slow
async def test_two_workers_never_run_one_session_twice(project: Target, books: Books) -> None:
    clients = [await signed_in(project) for _ in range(3)]
    async with running_worker(project) as first, running_worker(project) as second:
        ids = [await insert(client, f"portrait {n}") for n in range(8) for client in clients]
        rows = [await until_terminal(clients[place % 3], row_id) for place, row_id in enumerate(ids)]
        assert {row["status"] for row in rows} == {"completed"}
        lines = [line for worker in (first, second) for line in worker.logged("attempt_started")]
    started = [line["row_id"] for line in lines if line["row_id"] in ids]
    assert len(started) == len(set(started)) == len(ids)
    most = "select max(attempt) from listener.sessions where row_id = any($1::uuid[])"
    assert await books.fetchval(most, ids) == 1
    for client in clients:
        await expect_money(books, client, balance=2, charges=8, refunds=0)


@pytest.mark.slow
async def test_a_muted_realtime_still_gets_every_session_done_by_the_sweep(
    stack: Stack, client: AsyncClient, books: Books
) -> None:
    async with running_worker(stack, LISTENER_LEASE_S="3", LISTENER_SWEEP_S="1"):
        stack.faults.realtime_muted = True
        ids = [await insert(client, f"portrait {n}") for n in range(4)]
        rows = await asyncio.gather(*(until_terminal(client, row_id) for row_id in ids))
        assert {row["status"] for row in rows} == {"completed"}
    await expect_money(books, client, balance=6, charges=4, refunds=0)


@pytest.mark.slow
async def test_a_terminated_worker_gives_its_session_back_uncounted(
    project: Target, client: AsyncClient, books: Books
) -> None:
    async with running_worker(project, LISTENER_DRAIN_S="0.2") as worker:
        row_id = await insert(client, **LONG)
        await until_row(client, row_id, lambda row: row["status"] == "processing" and row["progress"] > 0)
        worker.send(signal.SIGTERM)
        assert await asyncio.wait_for(worker.process.wait(), 15) == 0
        given_back = await until_row(client, row_id, lambda row: row["status"] == "queued", within_s=5)
        assert given_back["error_code"] is None
    async with running_worker(project):
        assert (await until_terminal(client, row_id))["status"] == "completed"
    session = await books.fetchrow("select attempt, failures from listener.sessions where row_id = $1::uuid", row_id)
    assert session is not None
    assert tuple(session) == (2, 0)
    await expect_money(books, client, balance=9, charges=1, refunds=0)


async def test_a_cancelled_session_stops_between_two_steps_and_is_refunded(
    project: Target, client: AsyncClient, books: Books
) -> None:
    async with running_worker(project, LISTENER_LEASE_S="3"):
        row_id = await insert(client, **LONG)
        await until_row(client, row_id, lambda row: row["status"] == "processing" and row["progress"] > 0)
        await client.rpc("cancel_session", {"p_row_id": row_id}).execute()
        row = await until_terminal(client, row_id, within_s=10)
        assert row["status"] == "cancelled"
        assert (await until_terminal(client, await insert(client)))["status"] == "completed"
    await expect_money(books, client, balance=9, charges=2, refunds=1)


async def test_a_worker_leaves_no_process_behind(project: Target) -> None:
    async with running_worker(project) as worker:
        child = runtime_of(worker)
    assert worker.process.returncode == 0
    psutil.wait_procs([child], timeout=5)
    assert not child.is_running()
