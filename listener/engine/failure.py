"""What an exception is in the taxonomy, and what a row may show of it: fixed words, bounded details, never a secret.

Knows the taxonomy and what a secret looks like; does not know what becomes of the session.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from listener.errors import (
    AttemptFailure,
    AttemptInterrupted,
    DiskFull,
    GenerationFailed,
    ListenerError,
    OutOfMemory,
    StorageDown,
    StorageRefused,
    StoreRejected,
    StoreUnavailable,
)
from listener.ports import Failure
from listener.telemetry.redact import clean_secrets

TEXT_CHARS_MAX = 500
ITEMS_MAX = 20
DEPTH_MAX = 4
FULL = {errno.ENOSPC, errno.EDQUOT}


def ending_of(error: BaseException) -> AttemptFailure | AttemptInterrupted:
    """Find the class of the taxonomy that an exception belongs to; GenerationFailed for what nobody foresaw.

    Of a group, an interruption counts before a failure, and a failure that has a name before one that has none.
    """
    if isinstance(error, AttemptFailure | AttemptInterrupted):
        return error
    if isinstance(error, BaseExceptionGroup):
        return min((ending_of(inner) for inner in error.exceptions), key=_rank)
    if isinstance(error, StoreUnavailable):
        return StorageDown(str(error), details={"dependency": "store"})
    if isinstance(error, StoreRejected):
        return StorageRefused(str(error), details={"dependency": "store"})
    return _of_the_machine(error)


def _of_the_machine(error: BaseException) -> AttemptFailure:
    if isinstance(error, MemoryError):
        return OutOfMemory(details={"where": "host"})
    if isinstance(error, OSError) and error.errno in FULL:
        return DiskFull(details={"dependency": "disk"})
    return GenerationFailed()


def _rank(ending: AttemptFailure | AttemptInterrupted) -> int:
    if isinstance(ending, AttemptInterrupted):
        return 0
    return 2 if type(ending) is GenerationFailed else 1


def failure_of(error: ListenerError, at: datetime) -> Failure:
    """Describe an error: type, time, remedy, and what its raiser put into details; never its own text."""
    told = {"type": type(error).__name__, "timestamp": at.isoformat()}
    details = {"remedy": error.remedy, **_mapping(error.details, DEPTH_MAX), **told}
    return Failure(error.code, clean_secrets(error.public_message), details)


def _mapping(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    return {_text(str(name)): _shown(inner, depth - 1) for name, inner in list(value.items())[:ITEMS_MAX]}


def _shown(value: Any, depth: int) -> Any:
    """Only what is JSON, and only so much of it: the row goes over Realtime to every screen of its owner."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth <= 0 and isinstance(value, Mapping | list | tuple | set | frozenset):
        return "…"
    if isinstance(value, Mapping):
        return _mapping(value, depth)
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown(inner, depth - 1) for inner in list(value)[:ITEMS_MAX]]
    return _text(str(value))


def _text(text: str) -> str:
    # PostgreSQL takes no NUL in a text, and no lone surrogate.
    cleaned = clean_secrets(text).replace("\x00", "").encode("utf-8", "replace").decode()
    return cleaned if len(cleaned) <= TEXT_CHARS_MAX else cleaned[: TEXT_CHARS_MAX - 1] + "…"
