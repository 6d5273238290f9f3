"""What many tests stand on: one throwaway cluster a run, one fresh database a test, and the stack on it.

Where memory can hold them, clusters lie there: a database for each test is 500 files, and a disk that others use takes
seconds for them.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import pytest

from devstack.postgres.cluster import Cluster, start_cluster
from devstack.postgres.prepare import MIGRATIONS, prepare_database
from devstack.stack import Stack, open_stack
from tests.support.real import (  # noqa: F401 - pytest looks for its hooks here
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_terminal_summary,
    real_project,
)
from tests.support.s3 import Door, open_door, s3_server
from tests.support.target import Target, target_of

TEMPLATE = "prepared"
APPLIED = Path(os.environ.get("LISTENER_TEST_MIGRATIONS", MIGRATIONS))
"""Other migrations than ours, to see the tests fail: tests/mutants."""
MEMORY = Path("/dev/shm")
MEMORY_MIN_BYTES = 2 * 1024**3
_numbers = itertools.count(1)

if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_MIN_BYTES:
    os.environ.setdefault("LISTENER_STACK_DIR", str(MEMORY))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL of this run's own."""
    with start_cluster() as running:
        yield running


@pytest.fixture(scope="session")
def template(cluster: Cluster) -> str:
    """The name of a database with bootstrap and migrations, to be cloned."""
    # On a thread of its own: the tests' event loops stay untouched.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, _make_template(cluster)).result()
    return TEMPLATE


@pytest.fixture
async def database_url(cluster: Cluster, template: str) -> AsyncIterator[str]:
    """The superuser's DSN of a fresh, fully migrated database."""
    name = f"test_{next(_numbers)}"
    admin = await asyncpg.connect(cluster.dsn())
    try:
        await admin.execute(f"create database {name} template {template}")
        yield cluster.dsn(name)
        await admin.execute(f"drop database {name} with (force)")
    finally:
        await admin.close()


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """The superuser's connection to the test's database."""
    opened = await asyncpg.connect(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def stack(database_url: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """The whole embedded stack on the test's database, in the test's loop."""
    async with open_stack(database_url, objects=tmp_path) as running:
        yield running


@pytest.fixture
def project(request: pytest.FixtureRequest) -> Target:
    """Any Supabase with our migrations: the one that `--real` names, or the embedded stack on a fresh database."""
    return real_project(request.config) or target_of(request.getfixturevalue("stack"))


@pytest.fixture
async def books(project: Target) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection to the project's database that looks into the private tables."""
    if project.db_url is None:
        pytest.skip("looks into the private tables: needs SUPABASE_DB_URL")
    opened = await asyncpg.connect(project.db_url)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The URL of an S3 server of this run's own."""
    with s3_server() as url:
        yield url


@pytest.fixture
async def door(s3: str) -> AsyncIterator[Door]:
    """A bucket of the test's own on it, behind a door that checks every signature."""
    async with open_door(s3) as opened:
        yield opened


async def _make_template(cluster: Cluster) -> None:
    admin = await asyncpg.connect(cluster.dsn())
    try:
        await admin.execute(f"create database {TEMPLATE}")
    finally:
        await admin.close()
    await prepare_database(cluster.dsn(TEMPLATE), migrations=APPLIED)
