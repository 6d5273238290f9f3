"""The probes: alive, ready, and what works. Knows the health of the parts; does not know what they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from aiohttp import web

from listener import __version__
from listener.engine.health import Health, PartStatus
from listener.http.openapi.operation import Described, Gives, described
from listener.http.openapi.shapes import Shape
from listener.telemetry.redact import clean_text

Reasons = dict[str, str]


class Alive(Shape):
    """The event loop answers."""

    status: Literal["alive"]


class Started(Shape):
    """It was ready once."""

    status: Literal["started"]


class Starting(Shape):
    """What it waits for."""

    status: Literal["starting"]
    reasons: Reasons


class Ready(Shape):
    """It can claim sessions, though maybe not of every kind."""

    status: Literal["ready"]
    held: Reasons | None = None


class NotReady(Shape):
    """Why it cannot claim sessions."""

    status: Literal["not ready"]
    reasons: Reasons


class Part(Shape):
    """One part of the worker."""

    status: Literal["ok", "failing"]
    reason: str
    details: dict[str, Any] | None = None


class HealthAnswer(Shape):
    """`ok` only when every part works."""

    status: Literal["ok", "degraded"]
    version: str
    parts: dict[str, Part]


def _probe(id: str, summary: str, gives: dict[int, Gives]) -> Described:
    return Described(id=id, summary=summary, group="Probes", gives=gives, asks=False)


LIVEZ = _probe("livez", "Whether it lives", {200: Gives("The event loop answers.", Alive)})
STARTUPZ = _probe(
    "startupz",
    "Whether it was ready once",
    {200: Gives("Registered, and the model was loaded.", Started), 503: Gives("Not yet.", Starting)},
)
READYZ = _probe(
    "readyz",
    "Whether it takes sessions",
    {200: Gives("It claims sessions.", Ready), 503: Gives("It claims none.", NotReady)},
)
HEALTH = _probe("health", "What works", {200: Gives("Every part, and what is wrong with it.", HealthAnswer)})


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

    @described(LIVEZ)
    async def livez(self, _request: web.Request) -> web.Response:
        """Alive: the event loop answers. Never looks at dependencies, so their outage restarts nobody."""
        return web.json_response({"status": "alive"})

    @described(STARTUPZ)
    async def startupz(self, _request: web.Request) -> web.Response:
        """Started: it was ready once (registered, model loaded), or 503 with what it waits for."""
        if self._was_ready():
            return web.json_response({"status": "started"})
        return web.json_response({"status": "starting", "reasons": self._reasons()}, status=503)

    @described(READYZ)
    async def readyz(self, _request: web.Request) -> web.Response:
        """Ready to claim, with the kinds that are not claimed meanwhile, or 503 with the reasons."""
        if reasons := self._reasons():
            return web.json_response({"status": "not ready", "reasons": reasons}, status=503)
        held = {kind: clean_text(reason) for kind, reason in self._health.held().items()}
        return web.json_response({"status": "ready", **({"held": held} if held else {})})

    @described(HEALTH)
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
