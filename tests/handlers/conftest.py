"""Generators with real children and real tiny pipelines. One is shared by the tests of a run: a child takes seconds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from handlers.runtime.host import LocalGenerator
from listener.contract import Generation, GenerationRequest, GeneratorConfig, PipelineConfig

READY_WITHIN_S = 90.0


@dataclass
class Bench:
    """A generator and shorthands for asking it."""

    generator: LocalGenerator
    steps: list[tuple[int, int]] = field(default_factory=list)

    async def draw(self, kind: str = "klein", prompt: str = "a portrait", seed: int = 7, **fields: Any) -> Generation:
        """Generate one small picture."""
        asked: dict[str, Any] = {"width": 64, "height": 64, "seeds": (seed,), **fields}
        request = GenerationRequest(kind=kind, session=uuid4(), prompt=prompt, **asked)
        return await self.generator.generate(request, self.heard)

    def heard(self, done: int, total: int) -> None:
        """Note a step; not that a request waits or begins."""
        if done:
            self.steps.append((done, total))

    async def until(self, seen: Callable[[], object], within_s: float = READY_WITHIN_S) -> None:
        """Wait until something shows."""
        try:
            async with asyncio.timeout(within_s):
                while not seen():
                    await asyncio.sleep(0.01)
        except TimeoutError:
            pytest.fail(f"not within {within_s:g} s; status: {self.generator.status()}")

    async def ready(self) -> None:
        """Wait until all is loaded."""
        await self.until(lambda: self.generator.status().ready)

    @property
    def pid(self) -> int:
        """The child's process id."""
        pid: int = self.generator.status().details["pid"]
        return pid


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this run keeps its embedded weights."""
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(scope="session")
def configure(weights: Path) -> Callable[..., GeneratorConfig]:
    """Compose a configuration of processors and embedded weights; name what differs."""

    def make(pipelines: tuple[PipelineConfig, ...] | None = None, **fields: Any) -> GeneratorConfig:
        both = (
            PipelineConfig("klein", "embedded", device="cpu"),
            PipelineConfig("flux", "embedded", "FluxPipeline", device="auto"),
        )
        return GeneratorConfig(**{"pipelines": pipelines or both, "cache_dir": str(weights), **fields})

    return make


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(configure: Callable[..., GeneratorConfig]) -> AsyncIterator[Bench]:
    """The module's generator: both pipelines, ready at first use."""
    generator = LocalGenerator(configure())
    await generator.start()
    found = Bench(generator)
    await found.ready()
    yield found
    await generator.close()


@pytest_asyncio.fixture
async def start(configure: Callable[..., GeneratorConfig]) -> AsyncIterator[Callable[..., Any]]:
    """Start generators of one's own; they are closed afterwards."""
    started: list[LocalGenerator] = []

    async def begin(**fields: Any) -> Bench:
        generator = LocalGenerator(configure(**fields))
        started.append(generator)
        await generator.start()
        return Bench(generator)

    yield begin
    for generator in started:
        await generator.close()
