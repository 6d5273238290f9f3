"""The probes: alive, ready, and what works. Knows the health of the parts; does not know what they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from listener import __version__
from listener.engine.health import Health, PartStatus
from listener.telemetry.redact import clean_text


class Probes:
    """GET /livez, /startupz, /readyz and /health. None of them asks anything over the network."""

    def __init__(self, health: Health, was_ready: Callable[[], bool]) -> None:
        self._health = health
        self._was_ready = was_ready

    def routes(self) -> list[web.AbstractRouteDef]:
        """The routes to add to the application."""
        return [
            web.get("/livez", self.livez),
            web.get("/startupz", self.startupz),
            web.get("/readyz", self.readyz),
            web.get("/health", self.health),
        ]

    async def livez(self, _request: web.Request) -> web.Response:
        """Alive: the event loop answers. Never looks at dependencies, so their outage restarts nobody."""
        return web.json_response({"status": "alive"})

    async def startupz(self, _request: web.Request) -> web.Response:
        """Started: it was ready once (registered, model loaded), or 503 with what it waits for."""
        if self._was_ready():
            return web.json_response({"status": "started"})
        return web.json_response({"status": "starting", "reasons": self._reasons()}, status=503)

    async def readyz(self, _request: web.Request) -> web.Response:
        """Ready to claim, or 503 with the reasons."""
        if reasons := self._reasons():
            return web.json_response({"status": "not ready", "reasons": reasons}, status=503)
        return web.json_response({"status": "ready"})

    async def health(self, _request: web.Request) -> web.Response:
        """`ok` only when every part works, else `degraded`; each part with its status and reason."""
        parts = self._health.parts()
        status = "ok" if all(part.ok for part in parts.values()) else "degraded"
        body = {"status": status, "version": __version__, "parts": {name: _shown(part) for name, part in parts.items()}}
        return web.json_response(body)

    def _reasons(self) -> dict[str, str]:
        return {name: clean_text(reason) for name, reason in self._health.reasons().items()}


def _shown(part: PartStatus) -> dict[str, Any]:
    shown: dict[str, Any] = {"status": "ok" if part.ok else "failing", "reason": clean_text(part.reason)}
    if part.details:
        shown["details"] = dict(part.details)
    return shown
