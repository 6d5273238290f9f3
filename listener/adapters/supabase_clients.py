"""The Supabase clients of this process and their HTTP connections: how they are made and closed.

Knows URL, key and timeouts; does not know what is called.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from supabase import AsyncClient, AsyncClientOptions

from listener.adapters.failures import remember_status
from listener.adapters.keys import kind_of_key

# A claim is a few milliseconds of work; what takes longer than this is not coming back.
CALLS = httpx.Timeout(10.0, connect=5.0, pool=5.0)
# A video of some hundred megabytes on a slow line; each single write must still move.
UPLOADS = httpx.Timeout(60.0, connect=5.0, pool=30.0)


@dataclass(frozen=True, slots=True)
class Clients:
    """One client for calls, one for uploads: a refused upload can hang the next request on its connection."""

    calls: AsyncClient = field(repr=False)
    uploads: AsyncClient = field(repr=False)
    endpoint: str = ""
    key_kind: str = ""


@asynccontextmanager
async def open_clients(url: str, key: str, slots: int) -> AsyncIterator[Clients]:
    """Open both clients; `slots` bounds their connections."""
    calls_limits = httpx.Limits(max_connections=slots + 8, max_keepalive_connections=slots + 8, keepalive_expiry=55)
    uploads_limits = httpx.Limits(max_connections=slots + 1, max_keepalive_connections=0)
    async with _http(CALLS, calls_limits) as calls, _http(UPLOADS, uploads_limits) as uploads:
        both = AsyncClient(url, key, _options(calls)), AsyncClient(url, key, _options(uploads))
        yield Clients(*both, endpoint=f"{url.rstrip('/')}/storage/v1", key_kind=kind_of_key(key))


class _InLine(httpx.AsyncClient):
    """Lets no more requests into the pool than it has connections.

    The pool looks at all that wait in it whenever one ends: fifty callers cost twice the time of ten. And who waits in
    it for more than a few seconds is refused, however much time his caller has.
    """

    def __init__(self, connections: int, **options: Any) -> None:
        super().__init__(**options)
        self._turns = asyncio.Semaphore(connections)

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Send it when it is its turn; what it answers is read before the next one's."""
        async with self._turns:
            return await super().send(request, **options)


def _http(timeout: httpx.Timeout, limits: httpx.Limits) -> httpx.AsyncClient:
    # http2=False: long known faults with stale connections and GOAWAY. trust_env stays on: proxies are the operator's.
    return _InLine(
        limits.max_connections or 1,
        http2=False,
        timeout=timeout,
        limits=limits,
        follow_redirects=False,
        event_hooks={"response": [remember_status]},
    )


def _options(http: httpx.AsyncClient) -> AsyncClientOptions:
    # The library's own tries of a GET, 1 s, 2 s and 4 s apart, would be made within each of ours.
    return AsyncClientOptions(
        httpx_client=http, auto_refresh_token=False, persist_session=False, postgrest_client_retry=False
    )
