"""Decides which system user runs PostgreSQL, which refuses to run as root; starts programs as that user."""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from devstack.postgres.binaries import PostgresUnavailableError

PR_SET_PDEATHSIG = 1


class Account:
    """The user that runs PostgreSQL: the current one, or an unprivileged one when the current one is root."""

    def __init__(self) -> None:
        self.other: pwd.struct_passwd | None = _unprivileged() if os.geteuid() == 0 else None
        if self.other is None and not _has_entry(os.geteuid()):
            raise PostgresUnavailableError(
                f"user id {os.geteuid()} has no entry in the password file, which initdb needs: run as a named user"
            )

    def own(self, path: Path) -> None:
        """Give a folder and all below it to the account."""
        if self.other is None:
            return
        for folder, _, files in os.walk(path):
            for name in (folder, *(os.path.join(folder, file) for file in files)):  # noqa: PTH118 - a thousand files
                os.chown(name, self.other.pw_uid, self.other.pw_gid, follow_symlinks=False)

    def start(self, command: Sequence[str | Path], log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a long-running program that dies with this process."""
        return subprocess.Popen(  # noqa: S603
            command,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - the keeper has one thread
            user=self.other.pw_uid if self.other else None,
            group=self.other.pw_gid if self.other else None,
            extra_groups=[] if self.other else None,
        )

    def run(self, command: Sequence[str | Path], typed: str = "") -> str:
        """Run a program to its end and return what it printed.

        Raises: PermissionError when the account may not execute it; PostgresUnavailableError when it fails.
        """
        done = subprocess.run(  # noqa: S603
            command,
            cwd="/",
            input=typed,
            capture_output=True,
            text=True,
            check=False,
            user=self.other.pw_uid if self.other else None,
            group=self.other.pw_gid if self.other else None,
            extra_groups=[] if self.other else None,
        )
        if done.returncode != 0:
            raise PostgresUnavailableError(f"{Path(command[0]).name} failed ({done.returncode}): {done.stderr.strip()}")
        return done.stdout


def _unprivileged() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise PostgresUnavailableError("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`")


def _has_entry(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _die_with_parent() -> None:
    # Only for a SIGKILL of the keeper itself; it comes after the change of user, which would clear it.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)
