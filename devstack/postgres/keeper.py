"""The process that owns a throwaway PostgreSQL and its folder, and takes both away when its parent ends.

The parent holds the other end of standard input. However the parent dies, SIGKILL included, the kernel closes it, and
this process, which lives in a session of its own, stops PostgreSQL and removes the folder. A shell waits for this
process in the same way, and clears up when it was killed itself.
A line `restart` makes PostgreSQL crash and come back. Knows nothing of databases, roles or what the folder is used for.
"""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType

from devstack.environment import clusters_folder
from devstack.postgres.binaries import PostgresUnavailableError, find_binaries
from devstack.postgres.server import Server

RESTART = b"restart"
# $0 is the folder. The first line of postmaster.pid is the process; only Linux has it die with its parent.
UNDERTAKER = """
read -r _
[ -f "$0/data/postmaster.pid" ] && kill -QUIT "$(head -n 1 "$0/data/postmaster.pid")"
tries=0
until rm -rf -- "$0" || [ $tries -ge 100 ]; do tries=$((tries + 1)); sleep 0.1; done
"""
UNDERTAKER_LIMIT_S = 15.0


def main() -> None:
    """Start, tell where, wait for the parent's end, remove."""
    for order in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(order, _leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        folder = Path(tempfile.mkdtemp(prefix="listener-devstack-", dir=clusters_folder()))
    except OSError as error:
        _tell({"error": f"no folder for PostgreSQL (LISTENER_STACK_DIR, else TMPDIR, says where): {error}"})
        return
    server: Server | None = None
    undertaker = subprocess.Popen(  # noqa: S603
        ["/bin/sh", "-c", UNDERTAKER, folder],
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        folder.chmod(0o711)  # the account that runs PostgreSQL passes through; data and objects are closed
        (folder / "objects").mkdir(mode=0o700)
        server = Server(folder, find_binaries())
        password = secrets.token_hex(32)
        server.create(password)
        _tell({"port": server.start(), "password": password, "folder": str(folder)})
        _obey(server)
    except (PostgresUnavailableError, OSError) as error:
        _tell({"error": str(error)})
    finally:
        for order in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(order, signal.SIG_IGN)
        if server is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
        undertaker.communicate(timeout=UNDERTAKER_LIMIT_S)


def _obey(server: Server) -> None:
    """Do what the parent says until it is gone."""
    for order in sys.stdin.buffer:
        if order.strip() == RESTART:
            server.restart()
            _tell({"restarted": True})


def _tell(answer: dict[str, str | int]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    main()
