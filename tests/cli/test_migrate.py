"""The migrations reach a project of the user's own: as text, as files, applied; and nothing of his is overwritten."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from devstack.postgres.cluster import Cluster
from devstack.postgres.prepare import prepare_database
from tests.support.commands import Ended, listener
from tests.support.worker import ROOT

FILES = sorted((ROOT / "supabase" / "migrations").glob("*.sql"))


@pytest.fixture
async def empty_project(cluster: Cluster) -> AsyncIterator[str]:
    """A Supabase project that has never heard of us."""
    admin = await asyncpg.connect(cluster.dsn())
    await admin.execute("create database empty_project")
    await prepare_database(cluster.dsn("empty_project"), migrate=False)
    yield cluster.project_dsn("empty_project")
    await admin.execute("drop database empty_project with (force)")
    await admin.close()


async def fetch(url: str, query: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def apply(url: str, folder: Path) -> Ended:
    return await listener("migrate", "--apply", folder=folder, DATABASE_URL=url)


async def test_print_writes_the_sql_and_nothing_else(tmp_path: Path) -> None:
    ended = await listener("migrate", "--print", folder=tmp_path)
    assert ended.said == "\n".join(path.read_text() for path in FILES)
    assert (ended.status, ended.complained, list(tmp_path.iterdir())) == (0, "", [])


async def test_files_are_copied_once_and_a_changed_one_is_kept(tmp_path: Path) -> None:
    first = await listener("migrate", folder=tmp_path)
    copied = tmp_path / "supabase" / "migrations" / FILES[0].name
    assert (first.status, copied.read_text()) == (0, FILES[0].read_text())
    assert "written" in first.said
    assert "supabase db push" in first.said
    again = await listener("migrate", folder=tmp_path)
    assert (again.status, "written" in again.said, "already" in again.said) == (0, False, True)
    copied.write_text("-- mine")
    changed = await listener("migrate", folder=tmp_path)
    assert (changed.status, copied.read_text()) == (1, "-- mine")
    assert "differs" in changed.said
    assert "yours was kept" in changed.complained


async def test_a_version_that_another_file_has_is_not_written_beside_it(tmp_path: Path) -> None:
    version = FILES[0].name.partition("_")[0]
    (tmp_path / f"{version}_mine.sql").write_text("select 1;")
    ended = await listener("migrate", "--to", str(tmp_path), folder=tmp_path)
    assert ended.status == 1
    assert "taken" in ended.said
    assert [path.name for path in tmp_path.glob(f"{version}*")] == [f"{version}_mine.sql"]


async def test_apply_brings_them_in_once_and_records_them_as_the_supabase_cli_does(
    empty_project: str, tmp_path: Path
) -> None:
    first = await apply(empty_project, tmp_path)
    assert (first.status, first.complained) == (0, "")
    assert [line.split() for line in first.said.splitlines()] == [["applied", path.name] for path in FILES]
    recorded = await fetch(empty_project, "select version, name, statements from supabase_migrations.schema_migrations")
    assert recorded == [
        (path.name.partition("_")[0], path.stem.partition("_")[2], [path.read_text()]) for path in FILES
    ]
    assert await fetch(empty_project, "select listener.schema_version()") != []
    again = await apply(empty_project, tmp_path)
    assert (again.status, again.said.split()[0]) == (0, "already")
    assert len(await fetch(empty_project, "select 1 from supabase_migrations.schema_migrations")) == len(FILES)


async def test_what_the_supabase_cli_applied_is_not_applied_again(empty_project: str, tmp_path: Path) -> None:
    versions = ", ".join(f"('{path.name.partition('_')[0]}')" for path in FILES)
    connection = await asyncpg.connect(empty_project)
    await connection.execute(f"insert into supabase_migrations.schema_migrations (version) values {versions}")
    await connection.close()
    assert (await apply(empty_project, tmp_path)).said.split()[0] == "already"
    assert await fetch(empty_project, "select to_regnamespace('listener')::text") == [(None,)]


async def test_a_migration_that_fails_is_rolled_back_whole_and_named(empty_project: str, tmp_path: Path) -> None:
    connection = await asyncpg.connect(empty_project)
    await connection.execute("create table public.headshot_sessions (id integer)")
    await connection.close()
    ended = await apply(empty_project, tmp_path)
    assert ended.status == 1
    assert f"{FILES[0].name} was rolled back: 42P07" in ended.complained
    assert "Traceback" not in ended.complained
    assert await fetch(empty_project, "select to_regnamespace('listener')::text") == [(None,)]
    assert await fetch(empty_project, "select 1 from supabase_migrations.schema_migrations") == []


async def test_a_database_that_is_no_supabase_project_is_refused_by_what_is_missing(
    cluster: Cluster, tmp_path: Path
) -> None:
    admin = await asyncpg.connect(cluster.dsn())
    await admin.execute("create database bare template template0")
    ended = await apply(cluster.dsn("bare"), tmp_path)
    untouched = await fetch(cluster.dsn("bare"), "select to_regnamespace('supabase_migrations')::text")
    await admin.execute("drop database bare with (force)")
    await admin.close()
    assert (ended.status, untouched) == (1, [(None,)])
    assert "no function auth.uid()" in ended.complained
    assert "no publication supabase_realtime" in ended.complained


@pytest.mark.parametrize(
    ("url", "status", "words"),
    [
        ("", 78, "DATABASE_URL is missing"),
        ("https://abcd.supabase.co", 78, "must be postgresql://"),
        ("postgresql://u:CANARYPASSWORD@127.0.0.1:1/x", 69, "127.0.0.1:1"),
    ],
)
async def test_a_url_that_leads_nowhere_is_told_without_its_password(
    tmp_path: Path, url: str, status: int, words: str
) -> None:
    ended = await apply(url, tmp_path)
    assert ended.status == status
    assert words in ended.complained
    assert "CANARY" not in ended.said + ended.complained
    assert "Traceback" not in ended.complained


async def test_a_wrong_password_is_told_without_the_password(empty_project: str, tmp_path: Path) -> None:
    ended = await apply(empty_project.replace("postgres:", "postgres:CANARY", 1), tmp_path)
    assert ended.status == 1
    assert "password authentication failed" in ended.complained
    assert "CANARY" not in ended.complained


async def test_no_password_goes_to_another_machine_without_tls(tmp_path: Path) -> None:
    heard: list[bytes] = []

    async def without_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readexactly(8))
        writer.write(b"N")
        heard.append(await reader.read())
        writer.close()

    async with await asyncio.start_server(without_tls, "127.0.0.2", 0) as server:
        port = server.sockets[0].getsockname()[1]
        ended = await apply(f"postgresql://u:CANARYPASSWORD@127.0.0.2:{port}/x", tmp_path)
    assert (ended.status, f"127.0.0.2:{port}" in ended.complained) == (69, True)
    assert heard[1:] == [b""]


async def test_without_asyncpg_the_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "asyncpg.py").write_text("raise ImportError('not here')")
    ended = await listener(
        "migrate",
        "--apply",
        folder=tmp_path,
        DATABASE_URL="postgresql://u@127.0.0.1/x",
        PYTHONPATH=f"{tmp_path}:{ROOT}",
    )
    assert (ended.status, "pip install 'listener[migrate]'" in ended.complained) == (78, True)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a user has after `pip install`: the wheel's files, and no checkout around them."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (wheel,) = (folder / "dist").glob("*.whl")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target"]
    subprocess.run([*install, str(folder / "site"), str(wheel)], check=True, capture_output=True, timeout=60)
    return folder / "site"


async def test_an_installed_wheel_brings_its_migrations(installed: Path, tmp_path: Path) -> None:
    ended = await listener("migrate", "--print", folder=tmp_path, PYTHONPATH=str(installed))
    assert (ended.status, ended.complained) == (0, "")
    assert ended.said == "\n".join(path.read_text() for path in FILES)


async def test_the_stack_of_an_installed_wheel_has_the_tables(installed: Path, cluster: Cluster) -> None:
    code = (
        "import asyncio, sys, devstack; from devstack.postgres.prepare import MIGRATIONS, prepare_database\n"
        "asyncio.run(prepare_database(sys.argv[1])); print(devstack.__file__, MIGRATIONS)"
    )
    admin = await asyncpg.connect(cluster.dsn())
    await admin.execute("create database of_the_wheel")
    try:
        ran = subprocess.run(
            [sys.executable, "-c", code, cluster.dsn("of_the_wheel")],
            cwd=installed,
            env={"PYTHONPATH": str(installed)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (ran.returncode, ran.stderr) == (0, "")
        assert ran.stdout.split() == [
            str(installed / "devstack" / "__init__.py"),
            str(installed / "listener" / "migrations"),
        ]
        assert await fetch(cluster.dsn("of_the_wheel"), "select listener.schema_version()") != []
    finally:
        await admin.execute("drop database of_the_wheel with (force)")
        await admin.close()
