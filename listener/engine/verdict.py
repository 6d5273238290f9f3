"""How an attempt ended -> what to write. One pure table; it knows no store and no clock.

The store counts failures against the kind's `max_attempts`: a retry beyond it fails and refunds there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from listener import errors
from listener.contract import RetryPolicy, Session
from listener.engine.failure import failure_of
from listener.errors import AttemptFailure, AttemptInterrupted, ListenerError
from listener.ports import Failure


@dataclass(frozen=True, slots=True)
class Complete:
    """The work is done; `result` goes to the visible row, `refund_credits` of the price to the owner."""

    result: Mapping[str, Any] = field(default_factory=dict)
    refund_credits: int = 0


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
    """Terminal, as the owner asked; `refund_credits` is what was not made, None where the handler did not say."""

    result: Mapping[str, Any] = field(default_factory=dict)
    refund_credits: int | None = None


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


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: one rule for each retry policy."""

    patient: Rule
    strict: Rule

    def under(self, policy: RetryPolicy) -> Rule:
        """The rule of a policy."""
        return {RetryPolicy.PATIENT: self.patient, RetryPolicy.STRICT: self.strict}[policy]


# Patient: headshot, pack. Strict: try-on and avatar, whose engines have been patient already: a 429 is tried once
# more after 10 s, everything else fails at once; a crash is not the provider's answer, so the session is resumed.
RULES: Mapping[type[ListenerError], Row] = {
    AttemptFailure: Row(Rule.FAIL, Rule.FAIL),
    errors.InvalidParams: Row(Rule.FAIL, Rule.FAIL),
    errors.ContentRejected: Row(Rule.FAIL, Rule.FAIL),
    errors.InputUnavailable: Row(Rule.FAIL, Rule.FAIL),
    errors.NothingProduced: Row(Rule.FAIL, Rule.FAIL),
    errors.Transient: Row(Rule.RETRY, Rule.FAIL),
    errors.ProviderBusy: Row(Rule.RETRY, Rule.RETRY_ONCE),
    errors.ProviderDown: Row(Rule.RETRY, Rule.FAIL),
    errors.InputUnreachable: Row(Rule.RETRY, Rule.FAIL),
    errors.StorageDown: Row(Rule.RETRY, Rule.FAIL),
    errors.StorageFull: Row(Rule.RETRY, Rule.FAIL),
    errors.UrlNotSigned: Row(Rule.RETRY, Rule.FAIL),
    errors.ModerationDown: Row(Rule.RETRY, Rule.FAIL),
    errors.DiskFull: Row(Rule.RETRY, Rule.FAIL),
    errors.ProviderRefused: Row(Rule.FAIL, Rule.FAIL),
    errors.ProviderMisconfigured: Row(Rule.FAIL, Rule.FAIL),
    errors.StorageRefused: Row(Rule.FAIL, Rule.FAIL),
    # The runtime has been down its ladder (smaller batch, tiling, offload) before it raises this.
    errors.OutOfMemory: Row(Rule.FAIL, Rule.FAIL),
    errors.TimeLimit: Row(Rule.FAIL, Rule.FAIL),
    # A session that ends two generation processes is taken to be the cause.
    errors.RuntimeDied: Row(Rule.RETRY_ONCE, Rule.RETRY_ONCE),
    errors.WorkerLost: Row(Rule.RETRY, Rule.RETRY),
    errors.ModelUnavailable: Row(Rule.RETRY, Rule.FAIL),
    errors.GenerationFailed: Row(Rule.FAIL, Rule.FAIL),
    AttemptInterrupted: Row(Rule.RELEASE, Rule.RELEASE),
    errors.Cancelled: Row(Rule.CANCEL, Rule.CANCEL),
    errors.Draining: Row(Rule.RELEASE, Rule.RELEASE),
    errors.LeaseLost: Row(Rule.WRITE_NOTHING, Rule.WRITE_NOTHING),
}


@dataclass(frozen=True, slots=True)
class Delays:
    """How long a session waits for its next attempt.

    Units: seconds. busy_s is the least after a provider was busy; asked_max_s bounds what another side may ask for, and
    asked_once_max_s where there is one more try only: its owner waits for an answer, or for his credit.
    """

    first_s: float = 2.0
    factor: float = 3.0
    limit_s: float = 120.0
    busy_s: float = 10.0
    asked_max_s: float = 3600.0
    asked_once_max_s: float = 60.0

    def of(self, error: ListenerError, failures: int, *, is_once: bool = False) -> float:
        """Delay before the next attempt, after `failures` failed ones."""
        least_s = self.busy_s if isinstance(error, errors.ProviderBusy) else 0.0
        asked_s = error.retry_after_s
        if asked_s is not None and not math.isnan(asked_s):
            return min(self.asked_once_max_s if is_once else self.asked_max_s, max(least_s, asked_s))
        if least_s and failures == 0:
            return least_s
        if isinstance(error, errors.RuntimeDied):
            return 0.0  # nothing is gained by waiting: it is claimed as soon as a generator is ready
        return max(least_s, min(self.limit_s, self.first_s * self.factor ** min(failures, 20)))


def verdict_of(
    error: AttemptFailure | AttemptInterrupted,
    session: Session,
    policy: RetryPolicy,
    at: datetime,
    delays: Delays | None = None,
) -> Verdict:
    """Judge how an attempt ended."""
    rule = row_of(type(error)).under(policy)
    if rule is Rule.CANCEL:
        return Cancel()
    if rule is Rule.RELEASE:
        return Release()
    if rule is Rule.WRITE_NOTHING:
        return WriteNothing()
    failure = failure_of(error, at)
    if rule is Rule.RETRY or (rule is Rule.RETRY_ONCE and session.failures == 0):
        return Retry(failure, (delays or Delays()).of(error, session.failures, is_once=rule is Rule.RETRY_ONCE))
    return Fail(failure)


def row_of(kind: type[ListenerError]) -> Row:
    """The row of a class; a handler's own subclass is judged like the class of the taxonomy that it derives from."""
    return next(RULES[parent] for parent in kind.__mro__ if parent in RULES)
