"""The HTTP endpoints that packages bring, as this worker serves them. Knows the settings; not what an endpoint does."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

from aiohttp import hdrs, web

from listener.contract import Endpoint, EndpointConfig, Fetched
from listener.engine.health import Health
from listener.engine.inputs import PICTURES
from listener.errors import InputUnavailable, InputUnreachable
from listener.http.callers import CHALLENGE, KEY, Callers
from listener.http.endpoints import EndpointDoor
from listener.http.openapi.operation import Who
from listener.http.refusal import Refused
from listener.http.store_refusals import worded
from listener.ports import Fetcher
from listener.registry import load_endpoints, part
from listener.settings import Settings


class Endpoints:
    """All of them. Raises: from the constructor, ConfigError."""

    def __init__(self, settings: Settings) -> None:
        files = {"size_table": str(settings.size_table)} if settings.size_table else {}
        self._endpoints: Sequence[Endpoint[Any]] = tuple(
            load_endpoints(settings.endpoints, EndpointConfig(str(settings.cache_dir), files)).values()
        )
        self._key = settings.api_key.get_secret_value().encode() if settings.api_key else None
        self._is_open = settings.estimate_open

    def routes(self, fetcher: Fetcher, callers: Callers) -> list[web.AbstractRouteDef]:
        """What they answer over HTTP."""

        async def fetch(source: str, field: str = "") -> Fetched:
            try:
                return await fetcher.fetch(source, PICTURES)
            except (InputUnavailable, InputUnreachable) as error:
                error.details = ({"field": field} if field else {}) | error.details
                raise

        async def authorize(request: web.Request) -> UUID | None:
            return await self._authorize(request, callers)

        who = () if self._is_open else (Who.OPERATOR, Who.STORE)
        return [EndpointDoor(endpoint, fetch, authorize, who).route() for endpoint in self._endpoints]

    def tell(self, health: Health) -> None:
        """Report to the probes; none of them keeps the worker from its sessions."""
        for endpoint in self._endpoints:
            health.add(endpoint.part, partial(part, endpoint.status))

    async def close(self) -> None:
        """Stop all of them."""
        for endpoint in self._endpoints:
            await endpoint.close()

    async def _authorize(self, request: web.Request, callers: Callers) -> UUID | None:
        """Ask for the operator's key or a store's, unless the operator opened them to all; the store, if it is one's.

        Raises: Refused.
        """
        if self._is_open:
            return None
        scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        offered = token.strip()
        if scheme.lower() == "bearer" and offered and not KEY.fullmatch(offered):
            if self._key is not None and hmac.compare_digest(offered.encode("utf-8", "surrogateescape"), self._key):
                return None
            raise Refused(401, "API_KEY_INVALID", "This API key is not known.", CHALLENGE)
        with worded():
            return (await callers.of(request)).owner
