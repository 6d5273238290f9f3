"""Says once in the log that this worker can claim, or why it cannot yet; afterwards, which kinds wait.

Knows what an operator looks for there; everything after that is in the probes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from listener import __version__
from listener.contract import Generator, Log
from listener.engine.health import Health
from listener.settings import Settings
from listener.surroundings import surroundings
from listener.telemetry import log

READY_POLL_S = 0.1
HELD_POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class Announcement:
    """What is told; `ready` is set at the end."""

    settings: Settings
    kinds: Sequence[str]
    generator: Generator
    health: Health
    ready: asyncio.Event
    port: int

    async def run(self) -> None:
        """Wait until it can claim, then tell of each kind that waits while others go on, until cancelled."""
        said = log.get("daemon")
        said.info("worker_started", port=self.port, kinds=list(self.kinds), version=__version__)
        told = False
        while True:
            waits = self.health.reasons()
            if not told and (failures := self._load_failures()):
                told = True
                said.error("generator_not_loaded", failures=failures, surroundings=surroundings(self.settings))
            if not waits:
                break
            await asyncio.sleep(READY_POLL_S)
        self.ready.set()
        settings = self.settings
        said.info(
            "worker_ready",
            name=settings.worker_name,
            kinds=list(self.kinds),
            slots=settings.worker_concurrency,
            device=settings.device,
            models=settings.models_of(self.kinds),
            generator=self.generator.status().reason,
            port=self.port,
            version=__version__,
        )
        await self._tell_of_held(said)

    async def _tell_of_held(self, said: Log) -> None:
        told: frozenset[str] = frozenset()
        while True:
            if not self.health.reasons():  # a worker that claims nothing at all says so elsewhere
                held = self.health.held()
                if held.keys() - told:
                    said.error("kinds_held", held=held)
                if told - held.keys():
                    said.info("kinds_taken_up", kinds=sorted(told - held.keys()))
                told = frozenset(held)
            await asyncio.sleep(HELD_POLL_S)

    def _load_failures(self) -> dict[str, str]:
        details = self.generator.status().details
        devices = (details.get("devices") or {"": details}).values()
        pipelines = [one for device in devices for one in (device.get("pipelines") or {}).items()]
        return {kind: facts["failure"] for kind, facts in pipelines if facts.get("failure")}
