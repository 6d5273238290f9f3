"""Stands between the daemon and a program that is not ours: whatever way any of them ends, nothing of it is left.

Run as a file of its own: `warden.py PARENT GRACE_S COMMAND...`. Adopts what the program leaves behind, so that nothing
escapes by a session of its own. SIGTERM ends all, politely and then by force; so does the death of the daemon.
Knows processes only and imports nothing of ours: the program must not find our packages on its path.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType

import psutil

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LOOK_S = 0.02
CANNOT_START = 127
BY_SIGNAL = 128
"""Added to a signal's number, as shells do."""


class Warden:
    """Runs one command to its end, and ends all of it when it is asked to."""

    def __init__(self, parent: int, grace_s: float) -> None:
        self._parent = parent
        self._grace_s = grace_s
        self._stopping = False

    def run(self, command: Sequence[str]) -> int:
        """Run it; the answer is its exit code, or its signal and 128."""
        signal.signal(signal.SIGTERM, self._stop)
        _control(PR_SET_CHILD_SUBREAPER, 1)
        me = os.getpid()
        try:
            program = subprocess.Popen(  # noqa: S603 the operator's own command, and no shell
                command,
                start_new_session=True,
                preexec_fn=lambda: _prepare(me),  # noqa: PLW1509 there is one thread
            )
        except OSError as error:
            sys.stderr.write(f"the program cannot be started: {error.strerror}\n")
            return CANNOT_START
        while program.poll() is None and not self._must_stop():
            time.sleep(LOOK_S)
        if program.returncode is None:
            self._ask_all()
        self._end_all()
        code = program.wait()
        _bury()
        return code if code >= 0 else BY_SIGNAL - code

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _must_stop(self) -> bool:
        return self._stopping or os.getppid() != self._parent

    def _ask_all(self) -> None:
        """SIGTERM, and the time to follow it."""
        for one in _living():
            with suppress(psutil.Error):
                one.terminate()
        until_s = time.monotonic() + self._grace_s
        while _living() and time.monotonic() < until_s:
            time.sleep(LOOK_S)

    def _end_all(self) -> None:
        """SIGKILL, until nobody is left: one that is killed may just have started another."""
        while left := _living():
            for one in left:
                with suppress(psutil.Error):
                    one.kill()
            time.sleep(LOOK_S)


def _living() -> list[psutil.Process]:
    """All that descends from here, but for what only waits to be buried."""
    living = []
    for one in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if one.status() != psutil.STATUS_ZOMBIE:
                living.append(one)
    return living


def _bury() -> None:
    """Take the orphans' exit codes: not every container has somebody who would."""
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _control(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _prepare(warden: int) -> None:
    """In the program's process, before it is the program: it dies with the warden and leaves no core file."""
    _control(PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.getppid() != warden:
        os._exit(CANNOT_START)


if __name__ == "__main__":
    sys.exit(Warden(int(sys.argv[1]), float(sys.argv[2])).run(sys.argv[3:]))
