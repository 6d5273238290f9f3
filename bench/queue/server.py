"""A PostgreSQL that keeps what it was told: fsync on, as a project has it, and what its processes have used.

Knows the embedded stack's server; knows nothing of queues.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from devstack.postgres.binaries import find_binaries
from devstack.postgres.password import SUPERUSER
from devstack.postgres.server import SETTINGS, Server

DURABLE = {**SETTINGS, "fsync": "on", "full_page_writes": "on", "max_wal_size": "4GB", "shared_buffers": "1GB"}
PASSWORD = "bench"


@dataclass(frozen=True, slots=True)
class DurableServer:
    """A running cluster."""

    port: int
    pid: int
    version: str

    def dsn(self, database: str = "postgres") -> str:
        """Where the superuser connects."""
        return f"postgresql://{SUPERUSER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"


@contextmanager
def durable_server() -> Iterator[DurableServer]:
    """Run a cluster until the block ends."""
    with tempfile.TemporaryDirectory(prefix="listener-bench-") as path:
        folder = Path(path)
        folder.chmod(0o755)
        server = Server(folder, find_binaries(), DURABLE)
        server.create(PASSWORD)
        port = server.start()
        try:
            if server.process is None:
                raise AssertionError("a started server has a process")
            yield DurableServer(port, server.process.pid, server.version.strip())
        finally:
            server.stop()


def cpu_s(pid: int) -> float:
    """What a process and all it started have used, those that ended included."""
    process = psutil.Process(pid)
    while True:
        ended = process.cpu_times()
        running = 0.0
        for child in process.children(recursive=True):
            try:
                times = child.cpu_times()
            except psutil.NoSuchProcess:
                continue
            running += float(times.user + times.system)
        own = process.cpu_times()
        # A child that ends between the two readings would count twice, or not at all.
        if (own.children_user, own.children_system) == (ended.children_user, ended.children_system):
            return running + float(own.user + own.system + own.children_user + own.children_system)
