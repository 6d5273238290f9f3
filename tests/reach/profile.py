"""A pytest plugin: which statements of the SQL's functions a run executes, as plpgsql_check's profiler counts them.

`pytest -p tests.reach.profile --sql-profile FOLDER` writes one file a process; tests.reach.sql reads them. Needs a
PostgreSQL that has plpgsql_check. A function in the language SQL has no statements to count: it was called, or not.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from devstack.postgres.cluster import Cluster

SCHEMA = "profile"
PRELOAD = "alter system set shared_preload_libraries = 'plpgsql', 'plpgsql_check'"
SWITCH_ON = ("alter system set plpgsql_check.profiler = on", "alter system set track_functions = 'all'")
STATEMENTS = f"""
select function.funcoid as function, statement.stmtid as id, statement.parent_stmtid as parent,
  statement.parent_note as branch, statement.lineno as line, statement.stmtname as name,
  statement.exec_stmts as times
from {SCHEMA}.plpgsql_profiler_functions_all() as function
cross join lateral {SCHEMA}.plpgsql_profiler_function_statements_tb(function.funcoid) as statement
"""
CALLED = "select distinct funcname::text from pg_catalog.pg_stat_user_functions where calls > 0"


@dataclass
class Profile:
    """What this process saw: statements by function, and the names of all functions that were called."""

    functions: dict[str, dict[str, dict[str, object]]] = field(default_factory=dict)
    called: set[str] = field(default_factory=set)

    def add(self, row: asyncpg.Record) -> None:
        """Count a statement's executions."""
        statements = self.functions.setdefault(row["function"], {})
        known = statements.setdefault(str(row["id"]), {**row, "times": 0})
        known["times"] = int(str(known["times"])) + int(row["times"])


SEEN = Profile()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the files go."""
    parser.addoption("--sql-profile", type=Path, required=False, help="folder for what the SQL's functions executed")


@pytest.fixture(scope="session")
def profiling(cluster: Cluster) -> None:
    """A cluster that counts."""
    _wait_for(_tell(cluster, PRELOAD))
    cluster.restart()
    _wait_for(_tell(cluster, *SWITCH_ON, "select pg_reload_conf()"))


@pytest.fixture(autouse=True)
def _profiled(request: pytest.FixtureRequest) -> Iterator[None]:
    """Collect what a test executed before its database is dropped."""
    if "database_url" not in request.fixturenames:
        yield
        return
    request.getfixturevalue("profiling")
    url = request.getfixturevalue("database_url")
    yield
    _wait_for(_collect(url))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write what this process saw."""
    folder = session.config.getoption("sql_profile")
    if folder is not None and SEEN.functions:
        folder.mkdir(parents=True, exist_ok=True)
        told = {"functions": SEEN.functions, "called": sorted(SEEN.called)}
        (folder / f"{os.getpid()}.json").write_text(json.dumps(told))


async def _collect(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"create schema {SCHEMA}; create extension plpgsql_check with schema {SCHEMA}")
        for row in await connection.fetch(STATEMENTS):
            SEEN.add(row)
        SEEN.called |= {row["funcname"] for row in await connection.fetch(CALLED)}
        # The profiler's memory is shared by all databases and bounded.
        await connection.fetch(f"select {SCHEMA}.plpgsql_profiler_reset_all()")
    finally:
        await connection.close()


async def _tell(cluster: Cluster, *statements: str) -> None:
    connection = await asyncpg.connect(cluster.dsn())
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def _wait_for(work: Coroutine[Any, Any, None]) -> None:
    """On a thread of its own: the tests' event loops stay untouched."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()
