"""Which web pages of other origins may call this server: those of an allow-list, and no others.

Knows the Fetch standard's preflight; does not know the routes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from aiohttp import hdrs, web

ALLOWED_METHODS = "GET, POST"
ALLOWED_HEADERS = "Authorization, Content-Type, Idempotency-Key, X-Request-Id"
EXPOSED_HEADERS = "Location, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, X-Request-Id"
PREFLIGHT_S = 600

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Cors:
    """The allow-list; without an origin on it no answer carries a CORS header."""

    def __init__(self, origins: Collection[str]) -> None:
        self._origins = frozenset(origins)

    def preflight(self, request: web.Request) -> web.Response | None:
        """The answer to a preflight; None for every other request."""
        if request.method != hdrs.METH_OPTIONS or hdrs.ACCESS_CONTROL_REQUEST_METHOD not in request.headers:
            return None
        headers = self.headers(request)
        if hdrs.ACCESS_CONTROL_ALLOW_ORIGIN in headers:
            headers |= {
                hdrs.ACCESS_CONTROL_ALLOW_METHODS: ALLOWED_METHODS,
                hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ALLOWED_HEADERS,
                hdrs.ACCESS_CONTROL_MAX_AGE: str(PREFLIGHT_S),
            }
        return web.Response(status=204, headers=headers)

    def headers(self, request: web.Request) -> dict[str, str]:
        """What every answer to this request carries."""
        if not self._origins:
            return {}
        origin = request.headers.get(hdrs.ORIGIN, "")
        if origin not in self._origins:
            return {hdrs.VARY: hdrs.ORIGIN}
        return {
            hdrs.VARY: hdrs.ORIGIN,
            hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: origin,
            hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: EXPOSED_HEADERS,
        }
