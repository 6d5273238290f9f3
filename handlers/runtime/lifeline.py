"""Ties the child's life to the daemon's: it never outlives it, and only the daemon ends it. Knows the kernel only."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

PR_SET_PDEATHSIG = 1


def tie_to_parent(parent: int) -> None:
    """Die when the parent dies, even when it is killed; leave at once when it is dead already.

    The kernel counts the death of the thread that started this process; the daemon starts it on its event loop.
    Elsewhere than on Linux the end of the socket does the same a moment later.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def leave_signals_to_the_daemon() -> None:
    """Ignore what a terminal or a service manager sends to the whole group: the daemon drains first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def end_with_any_thread() -> None:
    """Let an unhandled exception in a thread end the process: half a child would only look alive."""

    def end(failure: threading.ExceptHookArgs) -> None:
        threading.__excepthook__(failure)
        sys.stderr.flush()
        os._exit(1)

    threading.excepthook = end
