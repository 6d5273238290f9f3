"""Promises of the throwaway cluster: it is private, and it is gone when its parent is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from devstack.postgres.binaries import PostgresUnavailableError, find_binaries
from devstack.postgres.cluster import start_cluster
from devstack.postgres.server import _prune

DEADLINE_S = 20.0
REPOSITORY = Path(__file__).parents[3]
# Starts a cluster, says where, and lives until it is killed.
PARENT = """
import json, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # who starts the tests in the background leaves it ignored
from devstack.postgres.cluster import start_cluster
from devstack.postgres.server import _prune
cluster = start_cluster()
postgres = (cluster.folder / "data" / "postmaster.pid").read_text().split()[0]
print(json.dumps({"folder": str(cluster.folder), "dsn": cluster.dsn(), "postgres": int(postgres)}), flush=True)
sys.stdin.read()
cluster.stop()
"""


async def _version(dsn: str) -> str:
    connection = await asyncpg.connect(dsn)
    try:
        return str(await connection.fetchval("select version()"))
    finally:
        await connection.close()


def _parent(*, new_session: bool = False) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PARENT],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=new_session,
    )


def _as(user: str | int, code: str) -> subprocess.Popen[str]:
    """Run code as another user, with an interpreter that this user may execute."""
    packages = [str(REPOSITORY), *(path for path in sys.path if path.endswith("site-packages"))]
    environment = {"PATH": os.defpath, "HOME": "/nonexistent", "PYTHONPATH": os.pathsep.join(packages)}
    for python in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        probe = [python, "-c", "import devstack.postgres.server, sys; assert sys.version_info >= (3, 11)"]
        with contextlib.suppress(OSError):
            if subprocess.run(probe, user=user, extra_groups=[], env=environment, cwd="/", check=False).returncode == 0:
                return subprocess.Popen(
                    [python, "-c", code],
                    cwd="/",
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    user=user,
                    extra_groups=[],
                )
    pytest.skip("no interpreter that another user may execute")


def _told(parent: subprocess.Popen[str]) -> dict[str, str | int]:
    assert parent.stdout is not None
    line = parent.stdout.readline()
    assert line, "the parent died before it had a cluster"
    told: dict[str, str | int] = json.loads(line)
    return told


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "not within the deadline"
        time.sleep(0.02)


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _keeper_of(folder: str) -> list[int]:
    """The processes that still have something to do with the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if folder in words:
            found.append(int(entry.name))
    return found


def test_a_killed_parent_leaves_no_process_and_no_folder() -> None:
    with _parent() as parent:
        told = _told(parent)
        folder, postgres = Path(str(told["folder"])), int(told["postgres"])
        assert _is_alive(postgres)
        parent.kill()
        _until(lambda: not folder.exists())
        _until(lambda: not _is_alive(postgres))
        _until(lambda: _keeper_of(str(folder)) == [])


def test_a_killed_keeper_leaves_no_process_and_no_folder() -> None:
    with start_cluster() as cluster:
        postgres = int((cluster.folder / "data" / "postmaster.pid").read_text().split()[0])
        cluster._keeper.kill()
        _until(lambda: not cluster.folder.exists())
        _until(lambda: not _is_alive(postgres))
        _until(lambda: _keeper_of(str(cluster.folder)) == [])


async def test_a_restart_is_a_crash_that_keeps_what_was_committed(tmp_path: Path) -> None:
    with start_cluster() as cluster:
        connection = await asyncpg.connect(cluster.dsn())
        await connection.execute("create table kept (n int); create unlogged table emptied (n int)")
        await connection.execute("insert into kept values (1); insert into emptied values (1)")
        before = await connection.fetchval("select pg_postmaster_start_time()")
        await asyncio.to_thread(cluster.restart)
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await connection.execute("select 1")
        await connection.close(timeout=1)
        connection = await asyncpg.connect(cluster.dsn())
        row = await connection.fetchrow(
            "select pg_postmaster_start_time() > $1, (select count(*) from kept), (select count(*) from emptied)",
            before,
        )
        await connection.close()
        assert row is not None
        assert tuple(row) == (True, 1, 0)
        assert "database system was not properly shut down" in (cluster.folder / "postgres.log").read_text()


def test_the_cache_keeps_the_clusters_that_were_used_last(tmp_path: Path) -> None:
    for age in range(6):
        entry = tmp_path / f"{age:016x}"
        entry.mkdir()
        (entry / "PG_VERSION").write_text("18")
        os.utime(entry, (1_000_000 - age, 1_000_000 - age))
    (tmp_path / "somebody-elses").mkdir()
    _prune(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{age:016x}" for age in range(3)] + ["somebody-elses"]


def test_an_interrupt_of_the_whole_terminal_does_not_tear_postgres_from_under_its_parent() -> None:
    with _parent(new_session=True) as parent:
        told = _told(parent)
        os.killpg(parent.pid, signal.SIGINT)
        parent.wait(DEADLINE_S)
        _until(lambda: not Path(str(told["folder"])).exists())


def test_stopping_twice_is_one_stop() -> None:
    cluster = start_cluster()
    assert "PostgreSQL" in asyncio.run(_version(cluster.dsn()))
    cluster.stop()
    assert not cluster.folder.exists()
    cluster.stop()


def test_two_clusters_at_once_share_nothing() -> None:
    with start_cluster() as one, start_cluster() as other:
        assert one.port != other.port
        with pytest.raises(asyncpg.InvalidPasswordError):
            asyncio.run(_version(one.dsn().replace(str(one.port), str(other.port))))


def test_what_it_keeps_is_closed_to_other_users() -> None:
    with start_cluster() as cluster:
        assert (cluster.folder / "data").stat().st_mode & 0o077 == 0
        assert cluster.objects.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else; the other tests prove the same")
def test_a_normal_user_can_run_it() -> None:
    with _as("nobody", PARENT) as parent:
        told = _told(parent)
        folder = Path(str(told["folder"]))
        assert folder.stat().st_uid == pwd.getpwnam("nobody").pw_uid
        assert "PostgreSQL" in asyncio.run(_version(str(told["dsn"])))
        parent.kill()
        _until(lambda: not folder.exists())


def test_a_chosen_folder_without_the_programs_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LISTENER_PG_BIN", str(tmp_path))
    with pytest.raises(PostgresUnavailableError, match=r"LISTENER_PG_BIN=.* holds no initdb"):
        find_binaries()
    with pytest.raises(PostgresUnavailableError, match="holds no initdb"):
        start_cluster()


@pytest.mark.skipif(not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")), reason="no PostgreSQL of the system")
def test_the_systems_postgres_works_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = next(Path("/usr/lib/postgresql").glob("*/bin"))
    monkeypatch.setenv("LISTENER_PG_BIN", str(folder))
    with start_cluster() as cluster:
        assert f"PostgreSQL {folder.parent.name}." in asyncio.run(_version(cluster.dsn()))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take a user id that has no name")
def test_a_user_without_a_name_is_told_why_it_cannot_run() -> None:
    with _as(54321, "from devstack.postgres.cluster import start_cluster; start_cluster()") as nameless:
        _, problem = nameless.communicate(timeout=DEADLINE_S)
    assert "has no entry in the password file" in problem
