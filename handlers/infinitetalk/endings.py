"""How the program ended, in words, and what that means for the session. Knows its exit code and what it printed."""

from __future__ import annotations

import errno
import signal
from typing import Any

from handlers.infinitetalk.output import Output
from handlers.infinitetalk.warden import CANNOT_START
from handlers.runtime.exits import suspect
from listener.errors import AttemptFailure, DiskFull, GenerationFailed, ModelUnavailable, OutOfMemory, RuntimeDied

FULL = {errno.ENOSPC, errno.EDQUOT}


def words_of(code: int) -> str:
    """Tell in words how it ended."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name} ({-code})"
    except ValueError:
        return f"killed by signal {-code}"


def failure_of(code: int, output: Output) -> AttemptFailure:
    """What a code other than 0 means. Nothing that the program printed is repeated but the name of an exception."""
    words = words_of(code)
    details: dict[str, Any] = {"engine": "infinitetalk", "exit": words}
    if output.failure:
        details["error"] = output.failure
    told = f"InfiniteTalk {words}" + (f", {output.failure}" if output.failure else "")
    if output.lacked_room:
        return DiskFull(told, details={"dependency": "disk", **details})
    if output.lacked_memory:
        return OutOfMemory(told, details=details)
    if code == CANNOT_START:
        return ModelUnavailable("InfiniteTalk cannot be started", details=details)
    if code < 0:
        guess = suspect(words)
        return RuntimeDied(f"{told}; {guess}" if guess else told, details=details)
    return GenerationFailed(told, details=details)


def failure_of_system(error: OSError) -> AttemptFailure:
    """What it means that a file could not be written, or no process started."""
    if error.errno in FULL:
        return DiskFull("no room for the files of InfiniteTalk", details={"dependency": "disk"})
    return GenerationFailed(f"InfiniteTalk: {error.strerror}", details={"engine": "infinitetalk"})
