"""Makes a data directory and runs one PostgreSQL on it, as an account that may; runs inside the keeper."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import platformdirs

from devstack.postgres.account import Account
from devstack.postgres.binaries import PostgresUnavailableError, copy_wheel
from devstack.postgres.password import SUPERUSER, scram_verifier

# Rejecting everybody: the password is set after the copy, so the cached cluster holds no secret.
INITDB = (
    f"--username={SUPERUSER}",
    "--encoding=UTF8",
    "--locale=C.UTF-8",
    "--auth=reject",
    "--wal-segsize=4",  # 12 MB less to copy at each start
    "--no-sync",
)
HBA = "host all all 127.0.0.1/32 scram-sha-256\n"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "wal_level": "logical",
    "max_replication_slots": "32",
    "max_wal_senders": "16",
    "max_connections": "200",
    # Never synchronous_commit=off beside these: logical decoding reads only flushed WAL (+180 ms an event).
    "fsync": "off",
    "full_page_writes": "off",
    "checkpoint_timeout": "30min",
    "max_wal_size": "1GB",
    "jit": "off",
    "TimeZone": "UTC",
    "log_timezone": "UTC",
    "cluster_name": "listener-devstack",
}
KEPT_CLUSTERS = 3
KEY = re.compile("[0-9a-f]{16}")
START_LIMIT_S = 60.0
STOP_LIMIT_S = 5.0
PORT_TRIES = 5


class Server:
    """One PostgreSQL on a data directory below `folder`."""

    def __init__(self, folder: Path, binaries: Path, settings: Mapping[str, str] = SETTINGS) -> None:
        self.folder = folder
        self.settings = settings
        self.data = folder / "data"
        self.log = folder / "postgres.log"
        self.account = Account()
        self.binaries, self.version = _runnable(self.account, binaries, folder)
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def create(self, password: str) -> None:
        """Make the data directory and set the superuser's password."""
        cached = _cache_entry(self.version)
        if cached is None or not self._copied_from(cached):
            self._initdb()
            if cached is not None:
                _keep(self.data, cached)
        (self.data / "pg_hba.conf").write_text(HBA)
        sql = f"alter role {SUPERUSER} password '{scram_verifier(password)}'\n"
        self.account.run([self.binaries / "postgres", "--single", "-D", self.data, "postgres"], sql)

    def start(self) -> int:
        """Start on a free port and return it.

        Raises: PostgresUnavailableError with the end of the log.
        """
        for _ in range(PORT_TRIES):
            self.port = _free_port()
            if self._start_on(self.port):
                return self.port
        raise PostgresUnavailableError(f"PostgreSQL did not start: {self._log_tail()}")

    def restart(self) -> None:
        """Crash as `pg_ctl -m immediate` does, and come back on the same port.

        Raises: PostgresUnavailableError.
        """
        self.stop(signal.SIGQUIT)
        if not self._start_on(self.port):
            raise PostgresUnavailableError(f"PostgreSQL did not come back: {self._log_tail()}")

    def stop(self, first: signal.Signals = signal.SIGINT) -> None:
        """Stop fast, then at once; returns when the process is gone."""
        if self.process is None or self.process.poll() is not None:
            return
        for order in (first, signal.SIGQUIT, signal.SIGKILL):
            self.process.send_signal(order)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_LIMIT_S)
                return

    def _copied_from(self, cached: Path) -> bool:
        try:
            os.utime(cached)
            shutil.copytree(cached, self.data)
        except OSError:  # not there yet, or somebody removed it meanwhile
            shutil.rmtree(self.data, ignore_errors=True)
            return False
        self.account.own(self.data)
        return True

    def _initdb(self) -> None:
        self.data.mkdir(mode=0o700)
        self.account.own(self.data)
        self.account.run([self.binaries / "initdb", "-D", self.data, *INITDB])

    def _start_on(self, port: int) -> bool:
        settings = [argument for name, value in self.settings.items() for argument in ("-c", f"{name}={value}")]
        command: Sequence[str | Path] = [self.binaries / "postgres", "-D", self.data, "-p", str(port), *settings]
        with self.log.open("ab") as log:
            self.process = self.account.start(command, log)
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                return False
            if self._ready():
                return True
            time.sleep(0.01)
        raise PostgresUnavailableError(f"PostgreSQL was not ready within {START_LIMIT_S:.0f} s: {self._log_tail()}")

    def _ready(self) -> bool:
        with suppress(OSError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            # The first line is the process, the eighth its state, as pg_ctl reads them.
            is_ours = self.process is not None and lines[:1] == [str(self.process.pid)]
            return is_ours and len(lines) >= 8 and lines[7].strip() == "ready"  # noqa: PLR2004
        return False

    def _log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:].strip() if self.log.exists() else "no log"


def _runnable(account: Account, binaries: Path, folder: Path) -> tuple[Path, str]:
    try:
        return binaries, account.run([binaries / "postgres", "--version"])
    except PermissionError:
        copied = copy_wheel(binaries, folder / "postgresql")
        return copied, account.run([copied / "postgres", "--version"])


def _cache_entry(version: str) -> Path | None:
    key = hashlib.sha256("\n".join((version, *INITDB)).encode()).hexdigest()[:16]
    clusters = platformdirs.user_cache_path("listener") / "clusters"
    try:
        clusters.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_ours = clusters.stat().st_uid == os.geteuid()
    except OSError:
        return None
    return clusters / key if is_ours else None


def _keep(data: Path, cached: Path) -> None:
    # The rename is atomic and fails when another start was faster; a cache that cannot be written is no error.
    with suppress(OSError), tempfile.TemporaryDirectory(dir=cached.parent) as draft:
        shutil.copytree(data, Path(draft) / "data")
        (Path(draft) / "data").rename(cached)
        _prune(cached.parent)


def _prune(clusters: Path) -> None:
    """Keep those that were used last; other versions of PostgreSQL and old settings leave theirs behind."""
    used = sorted((path for path in clusters.iterdir() if KEY.fullmatch(path.name)), key=_used, reverse=True)
    for old in used[KEPT_CLUSTERS:]:
        # Moved first: who copies it at this moment finds a folder gone, never one that lacks files.
        with suppress(OSError), tempfile.TemporaryDirectory(dir=clusters) as away:
            old.rename(Path(away) / "old")


def _used(cluster: Path) -> float:
    with suppress(OSError):
        return cluster.stat().st_mtime
    return 0.0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
