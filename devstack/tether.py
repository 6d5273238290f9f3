"""Becomes a Python program that the kernel kills when the process that asked for it dies, however it dies.

`python -m devstack.tether PARENT_PID -m module ...`. A program of its own, because code between fork and exec is not
safe in a process that has threads. Knows nothing of the program.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent, then become the program."""
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        raise SystemExit("the process that asked for this one is gone")
    os.execv(sys.executable, [sys.executable, *command])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
