"""Permits for requests to providers: all workers together send no more a minute than the kind allows.

Knows the store that counts them and how long a session may wait; does not know what is sent, or to whom.
"""

from __future__ import annotations

import asyncio
import random

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from listener.contract import GenerationRequest, Log
from listener.errors import LeaseLost, ProviderBusy, StorageDown, StoreRejected, StoreUnavailable
from listener.ports import Clock, Permitted, SessionStore

TRIES = 3
LEAST_WAIT_S = 0.05
SCATTER_S = 0.25
"""Those who wait for the same permit do not all ask in the same instant."""


class Permits:
    """Waits until the next request may be sent; a permit is spent when it is given, used or not."""

    def __init__(self, store: SessionStore, clock: Clock, log: Log) -> None:
        self._store = store
        self._clock = clock
        self._log = log

    async def __call__(self, request: GenerationRequest) -> None:
        """Get one permit of the session's kind.

        Raises: ProviderBusy when the attempt ends before one is free; LeaseLost when this worker's lease has run out;
                StorageDown when nobody could be asked.
        """
        kind, left_s = request.session_kind or request.kind, request.time_left_s
        deadline = None if left_s is None else self._clock.monotonic() + left_s
        while True:
            permitted = await self._ask(kind)
            if not permitted.known:
                raise LeaseLost("permits are given to workers with a lease")
            if permitted.granted:
                return
            wait_s = max(LEAST_WAIT_S, permitted.retry_after_s or 0.0)
            if deadline is not None and self._clock.monotonic() + wait_s >= deadline:
                details = {"limit": "requests a minute", "kind": kind}
                raise ProviderBusy("no permit in time", details=details, retry_after_s=wait_s)
            self._log.info("permit_awaited", kind=kind, session=str(request.session), wait_s=round(wait_s, 2))
            await asyncio.sleep(wait_s + random.uniform(0, SCATTER_S))  # noqa: S311 - jitter, not a secret

    async def _ask(self, kind: str) -> Permitted:
        """Ask the store; a lost answer costs a permit, which makes the limit stricter and never looser."""
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(StoreUnavailable),
                wait=wait_random_exponential(multiplier=0.2, max=2),
                stop=stop_after_attempt(TRIES),
                reraise=True,
            ):
                with attempt:
                    return await self._store.acquire_permits(kind, 1)
        except (StoreUnavailable, StoreRejected) as error:
            raise StorageDown(str(error), details={"dependency": "database"}) from error
        raise AssertionError("unreachable: the last try raises")
