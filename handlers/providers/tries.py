"""Makes a call to a provider again while that helps, with growing delays. Knows what passes; knows no provider."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from handlers.providers.answers import AnswerError, UnreachedError

T = TypeVar("T")
FIRST_S = 0.5
MOST_S = 20.0


async def patiently(
    call: Callable[[], Awaitable[T]],
    *,
    further: int,
    within_s: float,
    before: Callable[[], Awaitable[None]] | None = None,
    begins_work: bool = True,
) -> T:
    """Make a call, and up to `further` times again after a 5xx or when nobody was reached; each try takes `within_s`.

    What begins work is not sent again when the first try may have arrived: it would be paid for twice. `before` is
    awaited ahead of every try and takes none of its time.
    Raises: AnswerError, UnreachedError, TimeoutError of the last try; at once for everything else.
    """

    def passes(error: BaseException) -> bool:
        if isinstance(error, AnswerError):
            return error.is_passing
        return isinstance(error, UnreachedError) and not (begins_work and error.is_sent)

    async for attempt in AsyncRetrying(
        retry=retry_if_exception(passes), wait=_delay_s, stop=stop_after_attempt(1 + further), reraise=True
    ):
        with attempt:
            if before is not None:
                await before()
            async with asyncio.timeout(within_s):
                return await call()
    raise AssertionError("unreachable: the last try raises")


def _delay_s(state: RetryCallState) -> float:
    """Growing delays with jitter; never less than the provider asked for, within reason."""
    error = state.outcome.exception() if state.outcome else None
    asked_s = error.retry_after_s if isinstance(error, AnswerError) else None
    return max(wait_random_exponential(multiplier=FIRST_S, max=MOST_S)(state), min(asked_s or 0.0, MOST_S))
