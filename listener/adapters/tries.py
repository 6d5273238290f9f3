"""How often and how soon a call that somebody waits for is made again. Knows what may pass by itself."""

from __future__ import annotations

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from listener.errors import StoreUnavailable

TRIES = 3
LONGEST_PAUSE_S = 0.5


def tries() -> AsyncRetrying:
    """A few tries of an idempotent call, close together; the last one raises what it met."""
    return AsyncRetrying(
        stop=stop_after_attempt(TRIES),
        wait=wait_random_exponential(multiplier=0.1, max=LONGEST_PAUSE_S),
        retry=retry_if_exception_type(StoreUnavailable),
        reraise=True,
    )
