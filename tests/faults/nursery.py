"""Bears workers: it has imported everything and forks one for each order, so that a thousand of them may be killed.

A child is an ordinary `listener run`: its own process, its own environment, its own log file. Orders come as lines of
JSON on stdin, {"environment", "log", "clock_skew_s"}; answers go to stdout, {"born": pid} and {"ended": pid, "status":
wait status}. No thread and no loop may run in here. Knows nothing of faults.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import signal
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import listener.app
import listener.cli.run  # noqa: F401 - imported before the fork, not after it
from listener.cli.main import main as listener_main
from listener.engine.clock import SystemClock

PR_SET_PDEATHSIG = 1


def install_sketch(folder: Path) -> None:
    """Make the generator of tests/faults/sketch.py known, as `pip install` of a package of its own would."""
    known = folder / "listener_sketch-1.0.dist-info"
    known.mkdir()
    (known / "METADATA").write_text("Metadata-Version: 2.1\nName: listener-sketch\nVersion: 1.0\n")
    (known / "entry_points.txt").write_text("[listener.generators]\nsketch = tests.faults.sketch:sketch\n")
    sys.path.append(str(folder))


def serve() -> None:
    """Fork for each order until stdin ends; the children end with this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, _tell_the_ended)
    for line in sys.stdin:
        order = json.loads(line)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        pid = os.fork()
        if pid == 0:
            _become_worker(order)
        _say(born=pid)  # before its end can be told
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def _become_worker(order: dict[str, Any]) -> None:
    status = 70
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        random.seed()
        os.environ.clear()
        os.environ.update(order["environment"])
        with Path(order["log"]).open("ab") as log, Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), 0)
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        if order["clock_skew_s"]:
            _set_wrong(order["clock_skew_s"])
        listener_main(["run"])
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stderr.flush()
        os._exit(status)


def _set_wrong(skew_s: float) -> None:
    """Let the daemon read a time of day that is off; intervals stay right, as on a machine whose clock is wrong."""

    def now(_clock: SystemClock) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=skew_s)

    SystemClock.now = now  # type: ignore[method-assign]


def _tell_the_ended(_number: int, _frame: FrameType | None) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _say(ended=pid, status=status)


def _say(**facts: int) -> None:
    os.write(1, (json.dumps(facts) + "\n").encode())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as installed:
        install_sketch(Path(installed))
        serve()
