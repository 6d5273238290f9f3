"""What stands before every endpoint of the API: who calls, a limit of time, and a store's refusals in words.

Knows nothing of what the endpoint does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiohttp import hdrs, web

from listener.http.openapi.operation import described, description_of
from listener.http.refusal import Refused
from listener.http.store_refusals import worded

WITHIN_S = 30.0

Who = TypeVar("Who")


def guarded(
    endpoint: Callable[[web.Request, Who], Awaitable[web.Response]],
    whose: Callable[[web.Request], Awaitable[Who]],
    within_s: float = WITHIN_S,
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Find out who calls before anything else, and end in time; described as the endpoint is."""

    async def answer(request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(within_s):
                with worded():
                    return await endpoint(request, await whose(request))
        except TimeoutError:
            message = "This took too long. The same request may be sent again."
            raise Refused(503, "TIMEOUT", message, {hdrs.RETRY_AFTER: "5"}) from None

    operation = description_of(endpoint)
    return answer if operation is None else described(operation)(answer)
