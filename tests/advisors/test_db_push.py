"""`listener migrate` and `supabase db push` know of each other: either goes on where the other stopped."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from devstack.postgres.cluster import Cluster
from devstack.postgres.prepare import prepare_database
from tests.advisors.supabase_cli import needs_cli, supabase
from tests.support.commands import listener

pytestmark = needs_cli


@pytest.fixture
async def empty_project(cluster: Cluster, tmp_path: Path) -> AsyncIterator[str]:
    """A Supabase project without our tables; the folder holds the files that `listener migrate` copied."""
    admin = await asyncpg.connect(cluster.dsn())
    await admin.execute("create database pushed_to")
    await prepare_database(cluster.dsn("pushed_to"), migrate=False)
    assert (await listener("migrate", folder=tmp_path)).status == 0
    yield cluster.dsn("pushed_to")
    await admin.execute("drop database pushed_to with (force)")
    await admin.close()


async def version_in(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("select listener.schema_version()"))
    finally:
        await connection.close()


async def test_what_was_copied_can_be_pushed_and_is_then_known(empty_project: str, tmp_path: Path) -> None:
    assert "Finished supabase db push" in supabase(tmp_path, empty_project, "db", "push", "--yes")
    assert await version_in(empty_project) >= 1
    ended = await listener("migrate", "--apply", folder=tmp_path, DATABASE_URL=empty_project)
    assert (ended.status, set(ended.said.split()[::2])) == (0, {"already"})


async def test_what_was_applied_is_not_pushed_again(empty_project: str, tmp_path: Path) -> None:
    assert (await listener("migrate", "--apply", folder=tmp_path, DATABASE_URL=empty_project)).status == 0
    assert "up to date" in supabase(tmp_path, empty_project, "db", "push", "--yes")
