"""Says once in the log that this worker can claim, or why it cannot yet.

Knows what an operator looks for there; everything after that is in the probes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from listener import __version__
from listener.contract import Generator
from listener.engine.health import Health
from listener.settings import Settings
from listener.surroundings import surroundings
from listener.telemetry import log

READY_POLL_S = 0.1


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
        """Wait until it can claim."""
        said = log.get("daemon")
        said.info("worker_started", port=self.port, kinds=list(self.kinds), version=__version__)
        told = False
        while self.health.reasons():
            if not told and (failures := self._load_failures()):
                told = True
                said.error("generator_not_loaded", failures=failures, surroundings=surroundings(self.settings))
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

    def _load_failures(self) -> dict[str, str]:
        pipelines = self.generator.status().details.get("pipelines") or {}
        return {kind: facts["failure"] for kind, facts in pipelines.items() if facts.get("failure")}
