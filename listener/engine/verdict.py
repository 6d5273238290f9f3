"""How an attempt ended -> what to write. One pure table; it knows no store and no clock.

The store counts failures against the kind's `max_attempts`: a retry beyond it fails and refunds there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from listener.contract import Session
from listener.errors import (
    AttemptFailure,
    AttemptInterrupted,
    Cancelled,
    ContentRejected,
    Draining,
    GenerationFailed,
    InputUnavailable,
    InvalidParams,
    LeaseLost,
    ListenerError,
    ModelUnavailable,
    NothingProduced,
    OutOfMemory,
    RuntimeDied,
    TimeLimit,
    Transient,
)
from listener.ports import Failure


@dataclass(frozen=True, slots=True)
class Complete:
    """The work is done; `result` goes to the visible row."""

    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fail:
    """Terminal; the credits go back."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Retry:
    """Another attempt later. Units: delay_s is seconds."""

    failure: Failure
    delay_s: float


@dataclass(frozen=True, slots=True)
class Cancel:
    """Terminal, as the owner asked."""


@dataclass(frozen=True, slots=True)
class Release:
    """Back to the queue; counts as nothing."""


@dataclass(frozen=True, slots=True)
class WriteNothing:
    """The fence moved on; whatever is written would be refused."""


Verdict = Complete | Fail | Retry | Cancel | Release | WriteNothing


class Rule(Enum):
    """What the table says about a class of errors."""

    FAIL = "fail"
    RETRY = "retry"
    RETRY_ONCE = "retry_once"
    CANCEL = "cancel"
    RELEASE = "release"
    WRITE_NOTHING = "write_nothing"


RULES: Mapping[type[ListenerError], Rule] = {
    AttemptFailure: Rule.FAIL,
    InvalidParams: Rule.FAIL,
    ContentRejected: Rule.FAIL,
    InputUnavailable: Rule.FAIL,
    NothingProduced: Rule.FAIL,
    Transient: Rule.RETRY,
    # The runtime has been down its ladder (smaller batch, tiling, offload) before it raises this.
    OutOfMemory: Rule.FAIL,
    TimeLimit: Rule.FAIL,
    # A session that ends two generation processes is taken to be the cause.
    RuntimeDied: Rule.RETRY_ONCE,
    ModelUnavailable: Rule.RETRY,
    GenerationFailed: Rule.FAIL,
    AttemptInterrupted: Rule.RELEASE,
    Cancelled: Rule.CANCEL,
    Draining: Rule.RELEASE,
    LeaseLost: Rule.WRITE_NOTHING,
}


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a kind waits between attempts. Units: seconds."""

    first_delay_s: float = 2.0
    factor: float = 3.0
    limit_s: float = 120.0

    def delay_s(self, failures: int) -> float:
        """Delay before the next attempt, after `failures` failed ones."""
        return float(min(self.limit_s, self.first_delay_s * self.factor ** min(failures, 20)))


def verdict_of(
    error: AttemptFailure | AttemptInterrupted, session: Session, policy: RetryPolicy, at: datetime
) -> Verdict:
    """Judge how an attempt ended."""
    rule = RULES[type(error)] if type(error) in RULES else _inherited(type(error))
    if rule is Rule.CANCEL:
        return Cancel()
    if rule is Rule.RELEASE:
        return Release()
    if rule is Rule.WRITE_NOTHING:
        return WriteNothing()
    failure = failure_of(error, at)
    if rule is Rule.RETRY or (rule is Rule.RETRY_ONCE and session.failures == 0):
        delay_s = error.retry_after_s if error.retry_after_s is not None else policy.delay_s(session.failures)
        return Retry(failure, delay_s)
    return Fail(failure)


def failure_of(error: ListenerError, at: datetime) -> Failure:
    """What the row may show of an error: fixed words for people, structured details, never a foreign text."""
    details = {**error.details, "type": type(error).__name__, "timestamp": at.isoformat()}
    return Failure(error.code, error.public_message, details)


def _inherited(kind: type[ListenerError]) -> Rule:
    """A handler's own subclass is judged like the class of the taxonomy that it derives from."""
    return next(RULES[parent] for parent in kind.__mro__ if parent in RULES)
