"""How often and how soon a call that somebody waits for is made again. Knows what may pass by itself."""

from __future__ import annotations

from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from listener.errors import StoreUnavailable

TRIES = 3
LONGEST_PAUSE_S = 0.5
BEGUN_WITHIN_S = 5.0
"""Who was kept waiting for longer than this by one that does not answer is told so, and may come again."""
UPLOAD_BEGUN_WITHIN_S = 60.0


def tries(begun_within_s: float | None = None) -> AsyncRetrying:
    """A few tries of an idempotent call, close together; the last one raises what it met. Units: seconds."""
    return AsyncRetrying(
        stop=stop_after_attempt(TRIES) | stop_after_delay(begun_within_s or BEGUN_WITHIN_S),
        wait=wait_random_exponential(multiplier=0.1, max=LONGEST_PAUSE_S),
        retry=retry_if_exception_type(StoreUnavailable),
        reraise=True,
    )
