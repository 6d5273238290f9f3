"""Worker and database of different age: they work together, or the process says which of the two is too old."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from devstack.postgres.cluster import Cluster
from devstack.postgres.prepare import prepare_database
from devstack.stack import Stack, open_stack
from listener.engine.heartbeat import SCHEMA_VERSION
from tests.support.app import insert, signed_in, until_terminal
from tests.support.commands import listener
from tests.support.worker import running_worker

SMALL = {"num_inference_steps": 1, "width": 64, "height": 64}


async def set_version(connection: asyncpg.Connection, function: str, version: int) -> None:
    """As the migration of another release would."""
    await connection.execute(
        f"create or replace function listener.{function}() returns integer language sql immutable "
        f"set search_path = '' as 'select {version}'"
    )


@pytest.mark.slow
async def test_a_newer_schema_that_still_serves_it_is_worked_with(stack: Stack, connection: asyncpg.Connection) -> None:
    await set_version(connection, "schema_version", SCHEMA_VERSION + 3)
    async with running_worker(stack):
        client = await signed_in(stack)
        assert (await until_terminal(client, await insert(client, **SMALL)))["status"] == "completed"


async def test_a_schema_that_no_longer_serves_it_ends_the_worker_with_57(
    stack: Stack, connection: asyncpg.Connection
) -> None:
    await set_version(connection, "oldest_worker", SCHEMA_VERSION + 1)
    ended = await listener("run", place=stack)
    assert ended.status == 57
    assert "install a newer version of listener" in ended.complained
    assert "Traceback" not in ended.complained
    checked = await listener("check", place=stack)
    assert checked.status == 1
    assert "install a newer version of listener" in checked.said


async def test_a_running_worker_ends_with_57_when_the_schema_moves_on(
    stack: Stack, connection: asyncpg.Connection
) -> None:
    async with running_worker(stack, LISTENER_HEARTBEAT_S="0.2") as worker:
        await set_version(connection, "oldest_worker", SCHEMA_VERSION + 1)
        async with asyncio.timeout(20):
            assert await worker.process.wait() == 57


async def test_a_schema_that_is_too_old_ends_the_worker_with_78_and_the_remedy(
    stack: Stack, connection: asyncpg.Connection
) -> None:
    await set_version(connection, "schema_version", SCHEMA_VERSION - 1)
    ended = await listener("run", place=stack)
    assert (ended.status, "`listener migrate`" in ended.complained) == (78, True)


@pytest.fixture
async def bare(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Stack]:
    """A project without our tables."""
    admin = await asyncpg.connect(cluster.dsn())
    await admin.execute("create database bare_project")
    async with open_stack(cluster.dsn("bare_project"), migrate=False, objects=tmp_path) as running:
        yield running
    await admin.execute("drop database bare_project with (force)")
    await admin.close()


@pytest.mark.slow
async def test_a_worker_that_was_started_before_the_migration_waits_for_it_and_says_so(bare: Stack) -> None:
    checked = await listener("check", place=bare)
    assert (checked.status, "`listener migrate` brings it" in checked.said) == (1, True)
    async with running_worker(bare, waits_until="heartbeat_failed") as worker:
        assert "`listener migrate` brings it" in worker.logged("heartbeat_failed")[0]["error"]
        await prepare_database(bare.admin_url)
        await worker.until_logged("worker_ready")
