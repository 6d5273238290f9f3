"""A running throwaway cluster as its user sees it; the keeper process owns everything behind it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import devstack
from devstack.postgres.binaries import PostgresUnavailableError
from devstack.postgres.password import SUPERUSER, login_dsn

STOP_LIMIT_S = 20.0


class Cluster:
    """A PostgreSQL of our own on 127.0.0.1, gone with this process."""

    def __init__(self, keeper: subprocess.Popen[bytes], port: int, password: str, folder: Path) -> None:
        self._keeper = keeper
        self._password = password
        self._talking = threading.Lock()
        self.port = port
        self.folder = folder

    @property
    def objects(self) -> Path:
        """An empty folder that goes when the cluster goes."""
        return self.folder / "objects"

    def dsn(self, database: str = "postgres") -> str:
        """Where the superuser connects."""
        return f"postgresql://{SUPERUSER}:{self._password}@127.0.0.1:{self.port}/{database}"

    def project_dsn(self, database: str = "postgres") -> str:
        """Where `postgres` connects, the owner of a prepared database and no superuser."""
        return login_dsn(self.dsn(database), "postgres")

    def restart(self) -> None:
        """Kill PostgreSQL as `pg_ctl -m immediate` does; return when it accepts connections on the same port again.

        Raises: PostgresUnavailableError.
        """
        if self._keeper.stdin is None or self._keeper.stdout is None:
            raise AssertionError("Popen was asked for both pipes")
        with self._talking:
            self._keeper.stdin.write(b"restart\n")
            self._keeper.stdin.flush()
            line = self._keeper.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "the keeper process died"}
        if "error" in answer:
            raise PostgresUnavailableError(answer["error"])

    def stop(self) -> None:
        """Stop and remove everything; a second call does nothing."""
        if self._keeper.stdin is not None:
            self._keeper.stdin.close()
        self._keeper.wait(STOP_LIMIT_S)
        if self._keeper.stdout is not None:
            self._keeper.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_cluster() -> Cluster:
    """Start a cluster and return when it accepts connections.

    Raises: PostgresUnavailableError.
    """
    keeper = subprocess.Popen(
        [sys.executable, "-m", "devstack.postgres.keeper"],
        cwd=Path(devstack.__file__).parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    if keeper.stdin is None or keeper.stdout is None:
        raise AssertionError("Popen was asked for both pipes")
    line = keeper.stdout.readline()
    answer: dict[str, Any] = json.loads(line) if line else {"error": "the keeper process died"}
    if "error" in answer:
        keeper.stdin.close()
        keeper.stdout.close()
        keeper.wait(STOP_LIMIT_S)
        raise PostgresUnavailableError(answer["error"])
    return Cluster(keeper, answer["port"], answer["password"], Path(answer["folder"]))
