"""What Supabase's own advisors say of our schema: nothing, and they do speak when there is something to say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from devstack.postgres.cluster import start_cluster
from devstack.postgres.prepare import prepare_database
from tests.advisors.supabase_cli import needs_cli, supabase

CHECKERS = sorted(Path("/usr/share/postgresql").glob("*/extension/plpgsql_check.control"))
SCHEMAS = "public,listener"
# The database is new, so no index was ever used; the private tables are closed to everybody by having no policy.
AS_MEANT = {("unused_index", "listener"), ("unused_index", "public"), ("rls_enabled_no_policy", "listener")}
# db lint leaves out functions that return trigger: they can only be checked together with their table.
TRIGGERS = """
select finding.*
from pg_trigger as trigger
inner join pg_proc as routine on trigger.tgfoid = routine.oid
inner join pg_namespace as namespace on routine.pronamespace = namespace.oid
inner join pg_language as language on routine.prolang = language.oid
cross join lateral plpgsql_check_function(
  routine.oid, trigger.tgrelid, oldtable => trigger.tgoldtable, newtable => trigger.tgnewtable, format => 'text',
  performance_warnings => false, extra_warnings => true
) as finding
where namespace.nspname in ('listener', 'public') and language.lanname = 'plpgsql' and not trigger.tgisinternal
"""

pytestmark = [
    needs_cli,
    pytest.mark.skipif(
        not CHECKERS, reason="the system's PostgreSQL has no plpgsql_check (Debian: postgresql-15-plpgsql-check)"
    ),
]


@pytest.fixture(scope="module")
def databases() -> Iterator[tuple[str, str]]:
    """Our schema as a project has it, and a copy with a defect of each sort in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LISTENER_PG_BIN", f"/usr/lib/postgresql/{CHECKERS[-1].parent.parent.name}/bin")
        with start_cluster() as cluster:
            asyncio.run(_prepare(cluster.dsn(), cluster.dsn("project"), cluster.dsn("planted")))
            yield cluster.dsn("project"), cluster.dsn("planted")


async def _prepare(admin_url: str, project_url: str, planted_url: str) -> None:
    admin = await asyncpg.connect(admin_url)
    await admin.execute("create database project")
    await prepare_database(project_url)
    project = await asyncpg.connect(project_url)
    await project.execute("create extension plpgsql_check schema extensions")
    await project.close()
    await admin.execute("create database planted template project")
    for name in ("project", "planted"):  # as on hosted projects; db lint calls the extension by its bare name
        await admin.execute(f'alter database {name} set search_path = "$user", public, extensions')
    await admin.close()
    planted = await asyncpg.connect(planted_url)
    await planted.execute("create table public.leaky (id integer primary key); grant select on public.leaky to anon;")
    await planted.execute(
        "create function listener.wrong() returns integer language plpgsql set search_path = '' "
        "as 'begin return (select no_such_column from listener.sessions); end'"
    )
    await planted.execute(
        "create function listener.wrong_trigger() returns trigger language plpgsql set search_path = '' "
        "as 'begin new.no_such_column := 1; return new; end';"
        "create trigger wrong before insert on public.leaky for each row execute function listener.wrong_trigger()"
    )
    await planted.close()


def found_by(folder: Path, url: str, *arguments: str) -> Any:
    """The JSON that the CLI ends with."""
    printed = supabase(folder, url, *arguments, "--output-format", "json")
    start = min((printed.find(sign) for sign in "[{" if sign in printed), default=-1)
    return json.loads(printed[start:]) if start >= 0 else []


def lint(folder: Path, url: str) -> list[str]:
    """What `db lint` finds: function and message."""
    found = found_by(folder, url, "db", "lint", "--schema", SCHEMAS, "--level", "warning")
    results = found["results"] if isinstance(found, dict) else found
    return [
        f"{result['function']}: {issue['message']} {issue.get('context', '')}"
        for result in results
        for issue in result["issues"]
    ]


def advise(folder: Path, url: str) -> list[str]:
    """What `db advisors` finds, at every level, but for what is as meant."""
    found = found_by(folder, url, "db", "advisors", "--type", "all", "--level", "info")
    return [
        f"{one['level']} {one['name']}: {one['detail']}"
        for one in found["results"]
        if (one["name"], one["metadata"].get("schema")) not in AS_MEANT
    ]


async def check_triggers(url: str) -> list[str]:
    connection = await asyncpg.connect(url)
    try:
        return [str(row[0]) for row in await connection.fetch(TRIGGERS)]
    finally:
        await connection.close()


def test_db_advisors_find_nothing(databases: tuple[str, str], tmp_path: Path) -> None:
    assert "\n".join(advise(tmp_path, databases[0])) == ""


def test_db_lint_finds_nothing(databases: tuple[str, str], tmp_path: Path) -> None:
    assert "\n".join(lint(tmp_path, databases[0])) == ""


async def test_the_trigger_functions_that_db_lint_leaves_out_fit_their_tables(databases: tuple[str, str]) -> None:
    assert await check_triggers(databases[0]) == []


async def test_planted_defects_are_found(databases: tuple[str, str], tmp_path: Path) -> None:
    planted = databases[1]
    assert any("rls_disabled_in_public" in finding for finding in advise(tmp_path, planted))
    assert any("listener.wrong" in finding for finding in lint(tmp_path, planted))
    assert any("no_such_column" in finding for finding in await check_triggers(planted))
