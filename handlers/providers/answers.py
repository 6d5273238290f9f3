"""What a provider's answer means: busy, down, misconfigured, moderation, or our own mistake. One pure table.

Knows status codes and the words of moderation; knows no client. What a provider says is judged, never shown: it may
repeat the prompt or the key.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from listener.errors import (
    AttemptFailure,
    ContentRejected,
    GenerationFailed,
    NothingProduced,
    ProviderBusy,
    ProviderDown,
    ProviderMisconfigured,
    ProviderRefused,
)

BUSY = 429
MISCONFIGURED = frozenset({401, 402, 403, 404})
"""The key, the balance, the rights of the account, the name of the model."""
PASSING = frozenset({408, 409, 425})
"""Refusals that the same call does not meet again; so are all from 500 on."""
SERVER = 500
MODERATION = re.compile(
    r"moderation_blocked|content_policy_violation|content_filter|safety system|safety_violation|nsfw|"
    r"flagged as sensitive|sensitive content|content policy|not allowed by our safety",
    re.IGNORECASE,
)
OUT_OF_MONEY = re.compile(
    r"insufficient_quota|billing_hard_limit|exhausted balance|insufficient (credit|balance|fund)", re.IGNORECASE
)
CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,59}")

UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What the clients raise when an answer has another shape than they know, or no end of brackets."""


class AnswerError(Exception):
    """A provider answered with an error; `said` is its own text, for judging alone. Units: retry_after_s is seconds."""

    def __init__(
        self, status: int, said: str = "", code: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.said = said
        self.code = code if code and CODE.fullmatch(code) else None
        self.retry_after_s = retry_after_s

    @property
    def is_passing(self) -> bool:
        """Whether the same call may be answered well a moment later."""
        return self.status >= SERVER or self.status in PASSING


class UnreachedError(Exception):
    """Nobody answered. `is_sent`: the provider may have begun to work all the same."""

    def __init__(self, why: str, *, is_sent: bool) -> None:
        super().__init__(why)
        self.is_sent = is_sent


class TooLargeError(Exception):
    """The answer is larger than any we wanted."""


@contextmanager
def judged(provider: str) -> Iterator[None]:
    """Turn what went wrong on the wire into the taxonomy. Raises: AttemptFailure."""
    try:
        yield
    except AnswerError as answered:
        raise failure_of(provider, answered) from answered
    except UnreachedError as unreached:
        details = {"provider": provider, "reason": "no_connection"}
        raise ProviderDown(f"{provider}: {unreached}", details=details) from unreached
    except TooLargeError as error:
        raise ProviderRefused(f"{provider}: {error}", details={"provider": provider, "reason": "too_large"}) from error
    except TimeoutError as error:
        details = {"provider": provider, "reason": "timeout"}
        raise ProviderDown(f"{provider} did not answer in time", details=details) from error
    except UNREADABLE as error:
        details = {"provider": provider, "reason": "unreadable_answer"}
        raise NothingProduced(f"{provider} answered in another shape", details=details) from error


def failure_of(provider: str, answered: AnswerError) -> AttemptFailure:
    """Judge an answer that is an error."""
    details = {"provider": provider, "status": answered.status}
    details |= {"provider_code": answered.code} if answered.code else {}
    words = f"{provider}: {answered}"
    if is_moderation(answered.said) and answered.status < SERVER and answered.status != BUSY:
        return content_rejected(provider)
    if answered.status in MISCONFIGURED or OUT_OF_MONEY.search(answered.said):
        return ProviderMisconfigured(words, details=details)
    if answered.status == BUSY:
        return ProviderBusy(words, details=details, retry_after_s=answered.retry_after_s)
    if answered.is_passing:
        return ProviderDown(words, details=details, retry_after_s=answered.retry_after_s)
    return ProviderRefused(words, details=details)


def first_failure(provider: str, failed: ExceptionGroup[Exception], made: int) -> Exception:
    """The first of several failures; one that would let another generator try, only while nothing was made."""
    first = failed.exceptions[0]
    if made and isinstance(first, ProviderDown | ProviderMisconfigured):
        return GenerationFailed(f"{provider}: {made} images were made, then: {first}", details=first.details)
    return first


def content_rejected(provider: str) -> ContentRejected:
    """The provider's moderation refuses; which words of the request it means, it does not tell."""
    return ContentRejected(f"{provider} refuses the content", details={"rule": provider, "provider": provider})


def is_moderation(said: str) -> bool:
    """Whether a provider's text speaks of its moderation."""
    return MODERATION.search(said) is not None


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The Retry-After of an answer, when it is a number."""
    try:
        asked_s = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return asked_s if math.isfinite(asked_s) and asked_s >= 0 else None
