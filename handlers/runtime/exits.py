"""How the child ends, in numbers and in words. Knows no process."""

from __future__ import annotations

import signal

EXIT_ORPHANED = 0
EXIT_BAD_MESSAGE = 65
EXIT_FATAL_DEVICE = 70
EXIT_TOUCHED_DEVICE = 71
FATAL_LINE = "fatal device error: "
"""Begins the last line of a child that ends for one."""

_WORDS = {
    EXIT_ORPHANED: "ended when its socket was closed",
    1: "ended by an unhandled exception",
    EXIT_BAD_MESSAGE: "received a message that it could not read",
    EXIT_FATAL_DEVICE: "ended itself after a fatal device error",
    EXIT_TOUCHED_DEVICE: "opened the device before its turn and ended itself",
}


def suspect(words: str) -> str:
    """Guess who ended a child that nobody here ended; empty when the words say enough."""
    if words.startswith("killed by SIGKILL"):
        return "not ended by the listener; the system kills so when the host's memory runs out"
    return ""


def reason_of(returncode: int) -> str:
    """Tell in one word of a short list what a return code means, for a metric's label."""
    if returncode < 0:
        return "killed"
    return "fatal_device" if returncode == EXIT_FATAL_DEVICE else "ended"


def describe_exit(returncode: int) -> str:
    """Tell in words what a return code of a child means; negative ones are signals."""
    if returncode < 0:
        number = -returncode
        try:
            return f"killed by {signal.Signals(number).name} ({number})"
        except ValueError:
            return f"killed by signal {number}"
    return f"{_WORDS.get(returncode, 'ended')} (exit code {returncode})"
